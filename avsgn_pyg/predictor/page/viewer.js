// One clip on the page: player, time axis and events that can be corrected. Python sends messages through `props.value`,
// each with a `kind`; requests go back through `trigger`, and files through /page/.
"use strict";
window.avsgnViewer = function (element, props, watch, trigger) {
  const part = name => element.querySelector(`.${name}`), player = part("player"), overlay = part("overlay");
  const state = { clip: null, events: [[]], taus: [], time: 0, edited: false, token: null, window: null };
  const comparing = props.value.comparing, formats = props.value.formats;

  function create(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (key in made && typeof value !== "string") made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }
  function clock(time) {
    const whole = Math.floor(time + 1e-6), rest = String(whole % 60).padStart(2, "0");
    if (state.clip.duration < 60) return `${Math.round(10 * time) / 10} s`;
    return whole < 3600 ? `${Math.floor(whole / 60)}:${rest}` : `${Math.floor(whole / 3600)}:${String(Math.floor(whole / 60) % 60).padStart(2, "0")}:${rest}`;
  }
  const percent = time => `${100 * time / state.clip.duration}%`;
  const hue = label => Math.round(20 + 137.5 * Math.max(0, state.clip.results[0].categories.indexOf(label))) % 360;
  const round = value => Math.round(value * 1000) / 1000;

  // --- Requests -------------------------------------------------------------------------------------------------
  function setStatus(text, share, error = false) {
    const bar = part("status").querySelector("progress");
    bar.hidden = share === undefined;
    if (share === null) bar.removeAttribute("value"); else if (share !== undefined) bar.value = share;
    part("status-text").textContent = text;
    part("status").classList.toggle("error", error);
  }
  function analyse() {
    if (!state.token) return;
    setStatus("Waiting for the model", null);
    const runs = [...element.querySelectorAll(".run")].slice(0, comparing ? 2 : 1).map(select => select.value);
    trigger("analyse", { token: state.token, runs, labels: part("labels").disabled ? "" : part("labels").value });
  }
  function upload(file) {
    const limit = state.bytes;
    if (file.size > limit) return setStatus(`${file.name} has ${Math.ceil(file.size / 1e6)} MB; the limit is ${Math.floor(limit / 1e6)} MB.`, undefined, true);
    const request = new XMLHttpRequest();
    request.open("POST", `page/clips?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = event => setStatus(`Sending ${file.name}`, event.loaded / event.total);
    request.onerror = () => setStatus("The server does not answer; is it still running?", undefined, true);
    request.onload = () => {
      if (request.status !== 200) return setStatus(request.responseText, undefined, true);
      state.token = JSON.parse(request.responseText).token;
      analyse();
    };
    request.send(file);
  }
  function showStart({ samples, models, labels_note, limits, bytes }) {
    state.bytes = bytes;
    part("limits").textContent = limits;
    part("samples").replaceChildren(...samples.map(({ token, name, picture }) => create("button", { type: "button", class: "sample", "data-token": token, onclick: () => { state.token = token; analyse(); } },
      ...(picture ? [create("img", { src: picture, alt: "" })] : []), create("span", {}, name))));
    showModels(models);
    part("labels").disabled = Boolean(labels_note);
    part("labels-note").textContent = labels_note;
    part("labels-field").hidden = comparing;
    part("second-model").hidden = !comparing;
  }
  function showModels(models) {
    element.querySelectorAll(".run").forEach((select, place) => {
      const chosen = select.value || models[Math.min(place, models.length - 1)];
      select.replaceChildren(...models.map(name => create("option", { value: name }, name)));
      select.value = models.includes(chosen) ? chosen : models[0];
    });
    part("model").hidden = models.length < 2;
  }

  // --- Events ---------------------------------------------------------------------------------------------------
  function decode(result, tau) {
    if (result.events) return result.events.filter(event => tau === null || event.score > tau).map(event => ({ ...event }));
    const found = [];
    result.classes.forEach(([index, share], second) => {
      if (!(result.relevance[second] > tau)) return;
      const last = found.at(-1), score = result.relevance[second] * share;
      if (last && last.index === index && last.stop === second) { last.stop += 1; last.scores.push(score); }
      else found.push({ index, start: second, stop: second + 1, scores: [score] });
    });
    return found.map(({ index, start, stop, scores }) => ({ label: result.categories[index], start, end: Math.min(stop, state.clip.duration),
      score: scores.reduce((sum, score) => sum + score, 0) / scores.length }));
  }
  // Room between the neighbours of an event, which may overlap only where the model allows it.
  function bounds(event) {
    const others = state.clip.overlap ? [] : state.events[0].filter(other => other !== event);
    const middle = (event.start + event.end) / 2;
    return [Math.max(0, ...others.filter(other => other.end <= middle).map(other => other.end)),
            Math.min(state.clip.duration, ...others.filter(other => other.start >= middle).map(other => other.start))];
  }
  function move(event, edge, time) {
    const { step, duration } = state.clip, [low, high] = bounds(event);
    let at = round(Math.round(time / step) * step);
    if (edge === "end" && time > duration - step / 2) at = duration;
    event[edge] = edge === "start" ? Math.max(low, Math.min(at, event.end - Math.min(step, event.end - low))) : Math.min(high, Math.max(at, event.start + Math.min(step, high - event.start)));
    event.score = null;
    state.edited = true;
  }
  function addEvent() {
    const { step, duration, results } = state.clip, start = round(Math.floor(Math.min(state.time, duration - 1e-3) / step) * step);
    const likely = results[0].classes?.[Math.floor(start)]?.[0] ?? 0;
    const event = { label: state.events[0][0]?.label ?? results[0].categories[likely], start, end: Math.min(duration, start + Math.max(step, 1)), score: null };
    if (!state.clip.overlap && state.events[0].some(other => other.start < event.end && other.end > event.start)) return setStatus("There is already an event at the cursor; move the cursor first.");
    state.events[0].push(event);
    applyEdit();
  }
  function applyEdit() {
    state.edited = true;
    state.events[0].sort((one, other) => one.start - other.start);
    drawEvents();
  }
  function remove(event) {
    state.events[0] = state.events[0].filter(other => other !== event);
    applyEdit();
    part("event-list").querySelector("button")?.focus();
  }
  function restore() {
    state.edited = false;
    state.events = state.clip.results.map((result, place) => decode(result, state.taus[place]));
    drawEvents();
  }

  // --- The list -------------------------------------------------------------------------------------------------
  function eventRow(event, editable) {
    const playButton = create("button", { type: "button", class: "play", "aria-label": `Play ${event.label} from ${clock(event.start)}`, onclick: () => seek(event.start, true) }, "\u25b6");
    const score = create("span", { class: "score", title: "confidence" }, event.score === null ? "yours" : `${Math.round(100 * event.score)}\u2009%`);
    const swatch = create("span", { class: "swatch", style: `--hue:${hue(event.label)}` });
    if (!editable) return create("li", {}, playButton, swatch, create("span", { class: "label" }, event.label), create("span", { class: "times" }, `${clock(event.start)} \u2013 ${clock(event.end)}`), score);
    const label = create("select", { class: "label", "aria-label": "Class", onchange: () => { event.label = label.value; event.score = null; applyEdit(); } },
      ...state.clip.results[0].categories.map(name => create("option", { value: name, selected: name === event.label }, name)));
    const time = edge => create("input", { type: "number", class: edge, min: "0", max: String(state.clip.duration), step: String(state.clip.step), value: String(round(event[edge])),
      "aria-label": `${edge} of ${event.label} in seconds`, onchange: changing => { move(event, edge, Number(changing.target.value)); applyEdit(); } });
    const deleteButton = create("button", { type: "button", class: "delete", "aria-label": `Delete ${event.label}`, onclick: () => remove(event) }, "\u2715");
    return create("li", {}, playButton, swatch, label, create("span", { class: "times" }, time("start"), " \u2013 ", time("end"), " s"), score, deleteButton);
  }
  function drawList() {
    const lists = state.clip.results.map((result, place) => {
      const events = state.events[place], editable = !comparing;
      const title = comparing ? result.run : events.length ? `${events.length} event${events.length > 1 ? "s" : ""}, heard and seen` : "No event";
      const parts = [create("h3", {}, title), create("ol", { class: "events" }, ...events.map(event => eventRow(event, editable)))];
      if (!events.length) parts.push(create("p", { class: "empty" }, "No event is both heard and seen above the threshold. Lower the threshold, or add an event yourself."));
      if (editable) parts.push(create("p", { class: "tools" }, create("button", { type: "button", class: "add", onclick: addEvent }, "Add an event at the cursor"),
        create("button", { type: "button", class: "restore", disabled: !state.edited, onclick: restore }, "Restore the model\u2019s events")));
      return create("div", {}, ...parts);
    });
    part("event-list").replaceChildren(...lists);
  }

  // --- The axis -------------------------------------------------------------------------------------------------
  function lane(name, kind, content) {
    return create("div", { class: `lane ${kind}` }, create("span", { class: "title" }, name), create("div", { class: "plot" }, ...content));
  }
  function svgArea(path, wide, kind) {
    const holder = create("div", { class: kind });
    holder.innerHTML = `<svg viewBox="0 0 ${wide} 100" preserveAspectRatio="none" aria-hidden="true"><path d="${path}"/></svg>`;
    return holder;
  }
  function stepArea(values) {
    const { duration } = state.clip, tops = values.map((value, second) => `L${second} ${100 - 100 * value}L${Math.min(second + 1, duration)} ${100 - 100 * value}`);
    return svgArea(`M0 100${tops.join("")}L${duration} 100Z`, duration, "area");
  }
  function soundArea(pairs) {
    const high = pairs.map(([, top], at) => `${at + 0.5} ${50 - top / 2}`), low = pairs.map(([bottom], at) => `${at + 0.5} ${50 - bottom / 2}`).reverse();
    return svgArea(`M${high.join("L")}L${low.join("L")}Z`, pairs.length, "area");
  }
  function thresholdHandle(place) {
    const handle = create("div", { class: "threshold", role: "slider", tabindex: "0", "aria-orientation": "vertical", "aria-label": state.clip.results[place].threshold, "aria-valuemin": "0", "aria-valuemax": "0.99" });
    const set = value => {
      if (state.edited) return setStatus("You have corrected these events. To use the threshold again, first restore the model\u2019s events (button below the list).");
      state.taus[place] = Math.max(0, Math.min(0.99, Math.round(100 * value) / 100));
      restore();
      show();
    };
    const show = () => {
      const tau = state.taus[place];
      handle.style.bottom = `${100 * tau}%`;
      handle.setAttribute("aria-valuenow", round(tau));
      handle.replaceChildren(create("span", {}, `threshold ${tau.toFixed(2)}`));
    };
    handle.addEventListener("keydown", event => {
      const by = { ArrowUp: 0.01, ArrowRight: 0.01, ArrowDown: -0.01, ArrowLeft: -0.01, PageUp: 0.1, PageDown: -0.1 }[event.key];
      if (by) { event.preventDefault(); set(state.taus[place] + by); }
    });
    drag(handle, event => { const box = handle.parentElement.getBoundingClientRect(); set((box.bottom - event.clientY) / box.height); });
    show();
    return handle;
  }
  function drag(handle, onMove, onEnd = () => {}) {
    handle.addEventListener("pointerdown", event => { event.preventDefault(); event.stopPropagation(); handle.setPointerCapture(event.pointerId); handle.focus?.(); });
    handle.addEventListener("pointermove", event => { if (handle.hasPointerCapture(event.pointerId)) onMove(event); });
    handle.addEventListener("lostpointercapture", onEnd);
  }
  const timeAt = event => { const box = overlay.getBoundingClientRect(); return state.clip.duration * Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)); };
  function bar(event, editable) {
    const made = create("div", { class: "bar", style: `--hue:${hue(event.label)}` });
    const place = () => { made.style.left = percent(event.start); made.style.width = percent(event.end - event.start); made.style.top = `${2.1 * (event.level ?? 0)}rem`; };
    made.append(create("button", { type: "button", class: "bar-label", title: `${event.label}, ${clock(event.start)} to ${clock(event.end)}`, onclick: () => seek(event.start, true),
      onkeydown: key => { if (editable && ["Delete", "Backspace"].includes(key.key)) remove(event); } }, event.label));
    if (editable) for (const edge of ["start", "end"]) {
      const handle = create("span", { class: `edge ${edge}`, title: `drag the ${edge}` });
      drag(handle, pointer => { move(event, edge, timeAt(pointer)); place(); seek(Math.min(event[edge], state.clip.duration - 0.01)); }, applyEdit);
      made.append(handle);
    }
    place();
    return made;
  }
  // Overlapping events are drawn below each other.
  function levels(events) {
    const ends = [];
    for (const event of events) {
      const free = ends.findIndex(end => end <= event.start + 1e-6);
      event.level = free < 0 ? ends.length : free;
      ends[event.level] = event.end;
    }
    return Math.max(1, ends.length);
  }
  function drawEvents() {
    element.querySelectorAll(".lane.bars .plot").forEach((plot, place) => {
      plot.style.height = `${2.1 * levels(state.events[place]) - 0.1}rem`;
      plot.replaceChildren(...state.events[place].map(event => bar(event, !comparing)));
    });
    drawList();
    part("save").disabled = comparing || Boolean(state.clip.save_note);
    updateCursor();
  }
  function ruler() {
    const { duration } = state.clip, step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find(step => duration / step <= (overlay.clientWidth || 600) / 56) ?? 7200;
    const ticks = [];
    for (let at = 0; at <= duration - 0.4 * step || at === 0; at += step) ticks.push(create("span", { class: "tick", style: `left:${percent(at)}` }, clock(at)));
    const made = create("div", { class: "time", role: "slider", tabindex: "0", "aria-label": "Time", "aria-valuemin": "0", "aria-valuemax": String(round(duration)) }, ...ticks);
    made.addEventListener("keydown", event => {
      const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -duration, End: duration }[event.key];
      if (by) { event.preventDefault(); seek(state.time + by); }
    });
    return made;
  }
  function drawFrames() {
    const { frames } = state.clip, fit = Math.max(1, Math.floor((overlay.clientWidth || 600) / 60)), every = Math.ceil(frames.length / fit);
    return frames.filter((_, at) => at % every === Math.floor(every / 2) || frames.length <= every).map(([second, address]) => create("img", { src: address, alt: "", "data-second": String(second) }));
  }
  function drawLanes() {
    const { clip } = state, lanes = [];
    if (clip.frames.length) lanes.push(lane("seen", "frames", drawFrames()));
    if (clip.sound.length) lanes.push(lane("heard", "sound", [soundArea(clip.sound)]));
    clip.results.forEach((result, place) => {
      if (comparing) lanes.push(create("h4", { class: "model-title" }, result.run));
      for (const name of ["audio", "visual"]) if (result.scores[name]) lanes.push(lane(`${name} score`, `score ${name}`, [stepArea(result.scores[name])]));
      const handle = state.taus[place] === null ? [] : [thresholdHandle(place)];
      lanes.push(lane(result.curve, "relevance", [stepArea(result.relevance), ...handle]), lane("events", "bars", []));
    });
    lanes.push(lane("time", "ruler", [ruler()]));
    part("lanes").replaceChildren(...lanes);
  }

  // --- Time -----------------------------------------------------------------------------------------------------
  function seek(time, play = false) {
    state.time = Math.max(0, Math.min(time, state.clip.duration));
    if (state.playable) { player.currentTime = state.time; if (play) player.play().catch(() => {}); }
    updateCursor();
  }
  function updateCursor() {
    part("cursor").style.left = percent(state.time);
    part("time")?.setAttribute("aria-valuenow", String(round(state.time)));
    part("time")?.setAttribute("aria-valuetext", clock(state.time));
    element.querySelectorAll(".lane.bars .plot").forEach((plot, place) => [...plot.children].forEach((made, at) => {
      const event = state.events[place][at];
      made.classList.toggle("active", Boolean(event) && event.start <= state.time && state.time < event.end);
    }));
    drawGraph();
  }
  function followPlayer() {
    if (!state.clip) return;
    state.time = Math.min(player.currentTime, state.clip.duration);
    updateCursor();
    if (!player.paused && !player.ended) requestAnimationFrame(followPlayer);
  }
  function drawGraph() {
    const { clip } = state;
    if (!part("graph").open || !clip.windows.length || comparing) return;
    const middle = start => Math.abs(start + clip.window / 2 - state.time);
    const start = clip.windows.reduce((best, start) => middle(start) < middle(best) ? start : best);
    if (start === state.window) return;
    state.window = start;
    part("window").textContent = `of ${clock(start)} to ${clock(Math.min(start + clip.window, clip.duration))}`;
    trigger("graph", { token: clip.token, result: clip.results[0].id, start });
  }

  // --- Messages -------------------------------------------------------------------------------------------------
  function showClip(clip) {
    Object.assign(state, { clip, token: clip.token, taus: clip.results.map(result => result.tau), time: 0, window: null, playable: true });
    part("result").hidden = false;
    part("name").textContent = clip.name;
    part("notes").replaceChildren(...clip.notes.map(note => create("li", {}, note)));
    part("unplayable").hidden = true;
    player.hidden = false;
    player.classList.toggle("audio-only", !clip.frames.length);
    player.src = clip.src;
    element.querySelectorAll(".run").forEach((select, place) => { select.value = clip.results[place]?.run ?? select.value; });
    element.querySelectorAll(".sample").forEach(button => button.setAttribute("aria-pressed", String(button.dataset.token === clip.token)));
    part("graph").hidden = comparing;
    part("training").hidden = comparing;
    part("downloads").hidden = comparing;
    part("saved").textContent = clip.save_note;
    part("command").hidden = true;
    part("graph-note").textContent = clip.windows.length ? "" : "This model has no graph to show.";
    part("graph").querySelector("iframe").hidden = !clip.windows.length;
    drawLanes();
    restore();
    setStatus(`Done in ${clip.took.toFixed(1)} s.`);
    part("name").focus({ preventScroll: true });
  }
  // The page of the graph would use the system's colour scheme, which may differ from that of this page.
  function showGraph({ start, html, text }) {
    if (start !== state.window) return;
    const dark = document.body.classList.contains("dark");
    part("graph-note").textContent = text;
    part("graph").querySelector("iframe").srcdoc = html.replace("(prefers-color-scheme: dark)", dark ? "all" : "not all").replace("color-scheme: light dark", `color-scheme: ${dark ? "dark" : "light"}`);
  }
  const handlers = {
    start: showStart,
    progress: ({ text, share }) => setStatus(text, share),
    error: ({ text }) => setStatus(text, undefined, true),
    clip: showClip,
    graph: showGraph,
    saved: ({ text, command }) => { setStatus(""); part("saved").textContent = text; part("command").hidden = !command; part("command").querySelector("code").textContent = command; },
    trained: ({ text, models, run }) => { showModels(models); part("run").value = run; part("saved").textContent = text; setStatus(text); },
  };
  watch("value", () => handlers[props.value.kind]?.(props.value));

  // --- The page's own controls ----------------------------------------------------------------------------------
  const drop = part("drop"), file = part("file");
  file.addEventListener("change", () => { if (file.files[0]) upload(file.files[0]); file.value = ""; });
  for (const name of ["dragenter", "dragover"]) element.addEventListener(name, event => { event.preventDefault(); drop.classList.add("dragging"); });
  for (const name of ["dragleave", "drop"]) element.addEventListener(name, event => { event.preventDefault(); drop.classList.remove("dragging"); });
  element.addEventListener("drop", event => { const [first] = event.dataTransfer.files; if (first) upload(first); });
  part("request").addEventListener("submit", event => { event.preventDefault(); analyse(); });
  for (const name of ["play", "seeked", "timeupdate"]) player.addEventListener(name, followPlayer);
  player.addEventListener("error", () => { if (!player.getAttribute("src")) return; state.playable = false; player.hidden = true; part("unplayable").hidden = false; });
  const plots = part("axis");
  let scrubbing = false;
  plots.addEventListener("pointerdown", event => { if (event.target.closest(".title, button, .threshold, .edge")) return; scrubbing = true; plots.setPointerCapture(event.pointerId); seek(timeAt(event)); });
  plots.addEventListener("pointermove", event => { if (scrubbing) seek(timeAt(event)); });
  for (const name of ["pointerup", "pointercancel"]) plots.addEventListener(name, () => { scrubbing = false; });
  element.addEventListener("keydown", event => {
    if (event.key !== " " || event.target.closest("button, input, select, summary, video, a") || !state.playable || !state.clip) return;
    event.preventDefault();
    if (player.paused) player.play().catch(() => {}); else player.pause();
  });
  part("graph").addEventListener("toggle", () => state.clip && drawGraph());
  part("formats").replaceChildren(...formats.map(([name, what]) => create("button", { type: "button", class: "download", "data-format": name, onclick: () => download(name) }, what)));
  async function download(format) {
    const result = state.clip.results[0];
    const body = JSON.stringify({ token: state.clip.token, result: result.id, format, tau: state.taus[0], events: state.edited ? state.events[0] : null });
    const reply = await fetch("page/export", { method: "POST", body });
    if (!reply.ok) return setStatus(await reply.text(), undefined, true);
    const link = create("a", { href: URL.createObjectURL(await reply.blob()), download: decodeURIComponent(reply.headers.get("X-File-Name")) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  part("save").addEventListener("click", () => { setStatus("Saving", null); trigger("save", { token: state.clip.token, result: state.clip.results[0].id, events: state.events[0] }); });
  part("fine-tune").addEventListener("click", () => { setStatus("Training", null); trigger("fine_tune", { result: state.clip.results[0].id }); });
  new ResizeObserver(() => { if (!state.clip) return; part("frames .plot")?.replaceChildren(...drawFrames()); part("ruler .plot")?.replaceChildren(ruler()); updateCursor(); }).observe(overlay);
  showStart(props.value);
};
