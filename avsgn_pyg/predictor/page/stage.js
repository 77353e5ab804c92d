// One clip on the page: player, time axis and events that can be corrected. Python sends messages through `props.value`,
// each with a `kind`; requests go back through `trigger`, and files through /page/.
"use strict";
window.avsgnStage = function (element, props, watch, trigger) {
  const one = name => element.querySelector(`.${name}`), player = one("player"), over = one("over");
  const state = { clip: null, events: [[]], taus: [], time: 0, edited: false, token: null, window: null };
  const compares = props.value.compares, formats = props.value.formats;

  function make(tag, attributes = {}, ...children) {
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
  const hue = label => Math.round(20 + 137.5 * Math.max(0, state.clip.answers[0].categories.indexOf(label))) % 360;
  const round = value => Math.round(value * 1000) / 1000;

  // --- Asking ---------------------------------------------------------------------------------------------------
  function tell(text, share, wrong = false) {
    const bar = one("status").querySelector("progress");
    bar.hidden = share === undefined;
    if (share === null) bar.removeAttribute("value"); else if (share !== undefined) bar.value = share;
    one("told").textContent = text;
    one("status").classList.toggle("wrong", wrong);
  }
  function look() {
    if (!state.token) return;
    tell("Waiting for the model", null);
    const runs = [...element.querySelectorAll(".run")].slice(0, compares ? 2 : 1).map(select => select.value);
    trigger("look", { token: state.token, runs, labels: one("labels").disabled ? "" : one("labels").value });
  }
  function send(file) {
    const limit = props.value.bytes ?? state.bytes;
    if (file.size > limit) return tell(`${file.name} has ${Math.ceil(file.size / 1e6)} MB; the limit is ${Math.floor(limit / 1e6)} MB.`, undefined, true);
    const request = new XMLHttpRequest();
    request.open("POST", `page/clips?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = event => tell(`Sending ${file.name}`, event.loaded / event.total);
    request.onerror = () => tell("The server does not answer; is it still running?", undefined, true);
    request.onload = () => {
      if (request.status !== 200) return tell(request.responseText, undefined, true);
      state.token = JSON.parse(request.responseText).token;
      look();
    };
    request.send(file);
  }
  function fillIntake({ samples, models, words, limits, bytes }) {
    state.bytes = bytes;
    one("limits").textContent = limits;
    one("samples").replaceChildren(...samples.map(({ token, name, picture }) => make("button", { type: "button", class: "sample", "data-token": token, onclick: () => { state.token = token; look(); } },
      ...(picture ? [make("img", { src: picture, alt: "" })] : []), make("span", {}, name))));
    fillModels(models);
    one("labels").disabled = Boolean(words);
    one("why").textContent = words;
    one("words").hidden = compares;
    one("other").hidden = !compares;
  }
  function fillModels(models) {
    element.querySelectorAll(".run").forEach((select, place) => {
      const chosen = select.value || models[Math.min(place, models.length - 1)];
      select.replaceChildren(...models.map(name => make("option", { value: name }, name)));
      select.value = models.includes(chosen) ? chosen : models[0];
    });
    one("model").hidden = models.length < 2;
  }

  // --- Events ---------------------------------------------------------------------------------------------------
  function decode(answer, tau) {
    if (answer.found) return answer.found.filter(event => tau === null || event.score > tau).map(event => ({ ...event }));
    const found = [];
    answer.best.forEach(([index, share], second) => {
      if (!(answer.relevance[second] > tau)) return;
      const last = found.at(-1), score = answer.relevance[second] * share;
      if (last && last.index === index && last.stop === second) { last.stop += 1; last.scores.push(score); }
      else found.push({ index, start: second, stop: second + 1, scores: [score] });
    });
    return found.map(({ index, start, stop, scores }) => ({ label: answer.categories[index], start, end: Math.min(stop, state.clip.duration),
      score: scores.reduce((sum, score) => sum + score, 0) / scores.length }));
  }
  // Room between the neighbours of an event, which may overlap only where the model allows it.
  function room(event) {
    const others = state.clip.overlap ? [] : state.events[0].filter(other => other !== event);
    const middle = (event.start + event.end) / 2;
    return [Math.max(0, ...others.filter(other => other.end <= middle).map(other => other.end)),
            Math.min(state.clip.duration, ...others.filter(other => other.start >= middle).map(other => other.start))];
  }
  function move(event, edge, time) {
    const { step, duration } = state.clip, [low, high] = room(event);
    let at = round(Math.round(time / step) * step);
    if (edge === "end" && time > duration - step / 2) at = duration;
    event[edge] = edge === "start" ? Math.max(low, Math.min(at, event.end - Math.min(step, event.end - low))) : Math.min(high, Math.max(at, event.start + Math.min(step, high - event.start)));
    event.score = null;
    state.edited = true;
  }
  function addEvent() {
    const { step, duration, answers } = state.clip, start = round(Math.floor(Math.min(state.time, duration - 1e-3) / step) * step);
    const likely = answers[0].best?.[Math.floor(start)]?.[0] ?? 0;
    const event = { label: state.events[0][0]?.label ?? answers[0].categories[likely], start, end: Math.min(duration, start + Math.max(step, 1)), score: null };
    if (!state.clip.overlap && state.events[0].some(other => other.start < event.end && other.end > event.start)) return tell("There is already an event at the cursor; move the cursor first.");
    state.events[0].push(event);
    changed();
  }
  function changed() {
    state.edited = true;
    state.events[0].sort((one, other) => one.start - other.start);
    drawEvents();
  }
  function remove(event) {
    state.events[0] = state.events[0].filter(other => other !== event);
    changed();
    one("found").querySelector("button")?.focus();
  }
  function restore() {
    state.edited = false;
    state.events = state.clip.answers.map((answer, place) => decode(answer, state.taus[place]));
    drawEvents();
  }

  // --- The list -------------------------------------------------------------------------------------------------
  function row(event, editable) {
    const go = make("button", { type: "button", class: "go", "aria-label": `Play ${event.label} from ${clock(event.start)}`, onclick: () => seek(event.start, true) }, "\u25b6");
    const score = make("span", { class: "score", title: "confidence" }, event.score === null ? "yours" : `${Math.round(100 * event.score)}\u2009%`);
    const swatch = make("span", { class: "swatch", style: `--hue:${hue(event.label)}` });
    if (!editable) return make("li", {}, go, swatch, make("span", { class: "label" }, event.label), make("span", { class: "times" }, `${clock(event.start)} \u2013 ${clock(event.end)}`), score);
    const label = make("select", { class: "label", "aria-label": "Class", onchange: () => { event.label = label.value; event.score = null; changed(); } },
      ...state.clip.answers[0].categories.map(name => make("option", { value: name, selected: name === event.label }, name)));
    const time = edge => make("input", { type: "number", class: edge, min: "0", max: String(state.clip.duration), step: String(state.clip.step), value: String(round(event[edge])),
      "aria-label": `${edge} of ${event.label} in seconds`, onchange: changing => { move(event, edge, Number(changing.target.value)); changed(); } });
    const gone = make("button", { type: "button", class: "gone", "aria-label": `Delete ${event.label}`, onclick: () => remove(event) }, "\u2715");
    return make("li", {}, go, swatch, label, make("span", { class: "times" }, time("start"), " \u2013 ", time("end"), " s"), score, gone);
  }
  function drawList() {
    const lists = state.clip.answers.map((answer, place) => {
      const events = state.events[place], editable = !compares;
      const title = compares ? answer.run : events.length ? `${events.length} event${events.length > 1 ? "s" : ""}, heard and seen` : "No event";
      const parts = [make("h3", {}, title), make("ol", { class: "events" }, ...events.map(event => row(event, editable)))];
      if (!events.length) parts.push(make("p", { class: "none" }, "No event is both heard and seen above the threshold. Lower the threshold, or add an event yourself."));
      if (editable) parts.push(make("p", { class: "tools" }, make("button", { type: "button", class: "add", onclick: addEvent }, "Add an event at the cursor"),
        make("button", { type: "button", class: "restore", disabled: !state.edited, onclick: restore }, "Restore the model\u2019s events")));
      return make("div", {}, ...parts);
    });
    one("found").replaceChildren(...lists);
  }

  // --- The axis -------------------------------------------------------------------------------------------------
  function lane(name, kind, content) {
    return make("div", { class: `lane ${kind}` }, make("span", { class: "title" }, name), make("div", { class: "plot" }, ...content));
  }
  function shape(path, wide, kind) {
    const holder = make("div", { class: kind });
    holder.innerHTML = `<svg viewBox="0 0 ${wide} 100" preserveAspectRatio="none" aria-hidden="true"><path d="${path}"/></svg>`;
    return holder;
  }
  function steps(values) {
    const { duration } = state.clip, tops = values.map((value, second) => `L${second} ${100 - 100 * value}L${Math.min(second + 1, duration)} ${100 - 100 * value}`);
    return shape(`M0 100${tops.join("")}L${duration} 100Z`, duration, "area");
  }
  function soundOf(pairs) {
    const high = pairs.map(([, top], at) => `${at + 0.5} ${50 - top / 2}`), low = pairs.map(([bottom], at) => `${at + 0.5} ${50 - bottom / 2}`).reverse();
    return shape(`M${high.join("L")}L${low.join("L")}Z`, pairs.length, "area");
  }
  function thresholdOf(place) {
    const handle = make("div", { class: "tau", role: "slider", tabindex: "0", "aria-orientation": "vertical", "aria-label": state.clip.answers[place].cut, "aria-valuemin": "0", "aria-valuemax": "0.99" });
    const set = value => {
      if (state.edited) return tell("You have corrected these events. To use the threshold again, restore the model\u2019s events below the list.");
      state.taus[place] = Math.max(0, Math.min(0.99, Math.round(100 * value) / 100));
      restore();
      show();
    };
    const show = () => {
      const tau = state.taus[place];
      handle.style.bottom = `${100 * tau}%`;
      handle.setAttribute("aria-valuenow", round(tau));
      handle.replaceChildren(make("span", {}, `threshold ${tau.toFixed(2)}`));
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
  const timeAt = event => { const box = over.getBoundingClientRect(); return state.clip.duration * Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)); };
  function bar(event, editable) {
    const made = make("div", { class: "bar", style: `--hue:${hue(event.label)}` });
    const place = () => { made.style.left = percent(event.start); made.style.width = percent(event.end - event.start); made.style.top = `${2.1 * (event.level ?? 0)}rem`; };
    made.append(make("button", { type: "button", class: "bartext", title: `${event.label}, ${clock(event.start)} to ${clock(event.end)}`, onclick: () => seek(event.start, true),
      onkeydown: key => { if (editable && ["Delete", "Backspace"].includes(key.key)) remove(event); } }, event.label));
    if (editable) for (const edge of ["start", "end"]) {
      const handle = make("span", { class: `edge ${edge}`, title: `drag the ${edge}` });
      drag(handle, pointer => { move(event, edge, timeAt(pointer)); place(); seek(Math.min(event[edge], state.clip.duration - 0.01)); }, changed);
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
      plot.replaceChildren(...state.events[place].map(event => bar(event, !compares)));
    });
    drawList();
    one("save").disabled = compares || Boolean(state.clip.why);
    mark();
  }
  function ruler() {
    const { duration } = state.clip, step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find(step => duration / step <= (over.clientWidth || 600) / 56) ?? 7200;
    const ticks = [];
    for (let at = 0; at <= duration - 0.4 * step || at === 0; at += step) ticks.push(make("span", { class: "tick", style: `left:${percent(at)}` }, clock(at)));
    const made = make("div", { class: "time", role: "slider", tabindex: "0", "aria-label": "Time", "aria-valuemin": "0", "aria-valuemax": String(round(duration)) }, ...ticks);
    made.addEventListener("keydown", event => {
      const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -duration, End: duration }[event.key];
      if (by) { event.preventDefault(); seek(state.time + by); }
    });
    return made;
  }
  function drawFrames() {
    const { frames } = state.clip, fit = Math.max(1, Math.floor((over.clientWidth || 600) / 60)), every = Math.ceil(frames.length / fit);
    return frames.filter((_, at) => at % every === Math.floor(every / 2) || frames.length <= every).map(([second, address]) => make("img", { src: address, alt: "", "data-second": String(second) }));
  }
  function drawLanes() {
    const { clip } = state, lanes = [];
    if (clip.frames.length) lanes.push(lane("seen", "frames", drawFrames()));
    if (clip.sound.length) lanes.push(lane("heard", "sound", [soundOf(clip.sound)]));
    clip.answers.forEach((answer, place) => {
      if (compares) lanes.push(make("h4", { class: "whose" }, answer.run));
      for (const name of ["audio", "visual"]) if (answer.scores[name]) lanes.push(lane(`${name} score`, `score ${name}`, [steps(answer.scores[name])]));
      const cut = state.taus[place] === null ? [] : [thresholdOf(place)];
      lanes.push(lane(answer.what, "relevance", [steps(answer.relevance), ...cut]), lane("events", "bars", []));
    });
    lanes.push(lane("time", "ruler", [ruler()]));
    one("lanes").replaceChildren(...lanes);
  }

  // --- Time -----------------------------------------------------------------------------------------------------
  function seek(time, play = false) {
    state.time = Math.max(0, Math.min(time, state.clip.duration));
    if (state.playable) { player.currentTime = state.time; if (play) player.play().catch(() => {}); }
    mark();
  }
  function mark() {
    one("cursor").style.left = percent(state.time);
    one("time")?.setAttribute("aria-valuenow", String(round(state.time)));
    one("time")?.setAttribute("aria-valuetext", clock(state.time));
    element.querySelectorAll(".lane.bars .plot").forEach((plot, place) => [...plot.children].forEach((made, at) => {
      const event = state.events[place][at];
      made.classList.toggle("on", Boolean(event) && event.start <= state.time && state.time < event.end);
    }));
    drawGraph();
  }
  function follow() {
    if (!state.clip) return;
    state.time = Math.min(player.currentTime, state.clip.duration);
    mark();
    if (!player.paused && !player.ended) requestAnimationFrame(follow);
  }
  function drawGraph() {
    const { clip } = state;
    if (!one("graph").open || !clip.windows.length || compares) return;
    const middle = start => Math.abs(start + clip.window / 2 - state.time);
    const start = clip.windows.reduce((best, start) => middle(start) < middle(best) ? start : best);
    if (start === state.window) return;
    state.window = start;
    one("window").textContent = `of ${clock(start)} to ${clock(Math.min(start + clip.window, clip.duration))}`;
    trigger("graph", { token: clip.token, answer: clip.answers[0].id, start });
  }

  // --- Messages -------------------------------------------------------------------------------------------------
  function show(clip) {
    Object.assign(state, { clip, token: clip.token, taus: clip.answers.map(answer => answer.tau), time: 0, window: null, playable: true });
    one("shown").hidden = false;
    one("name").textContent = clip.name;
    one("notes").replaceChildren(...clip.notes.map(note => make("li", {}, note)));
    one("mute").hidden = true;
    player.hidden = false;
    player.classList.toggle("deaf", !clip.frames.length);
    player.src = clip.src;
    element.querySelectorAll(".run").forEach((select, place) => { select.value = clip.answers[place]?.run ?? select.value; });
    element.querySelectorAll(".sample").forEach(button => button.setAttribute("aria-pressed", String(button.dataset.token === clip.token)));
    one("graph").hidden = compares;
    one("learn").hidden = compares;
    one("out").hidden = compares;
    one("saved").textContent = clip.why;
    one("train").hidden = true;
    one("graphwhy").textContent = clip.windows.length ? "" : "This model has no graph to show.";
    one("graph").querySelector("iframe").hidden = !clip.windows.length;
    drawLanes();
    restore();
    tell(`Done in ${clip.took.toFixed(1)} s.`);
    one("name").focus({ preventScroll: true });
  }
  const read = {
    start: fillIntake,
    progress: ({ text, share }) => tell(text, share),
    wrong: ({ text }) => tell(text, undefined, true),
    clip: show,
    graph: ({ start, html, text }) => { if (start !== state.window) return; one("graphwhy").textContent = text; one("graph").querySelector("iframe").srcdoc = html; },
    saved: ({ text, command }) => { tell(""); one("saved").textContent = text; one("train").hidden = !command; one("train").querySelector("code").textContent = command; },
    trained: ({ text, models, run }) => { fillModels(models); one("run").value = run; one("saved").textContent = text; tell(text); },
  };
  watch("value", () => read[props.value.kind]?.(props.value));

  // --- The page's own controls ----------------------------------------------------------------------------------
  const drop = one("drop"), file = one("file");
  file.addEventListener("change", () => { if (file.files[0]) send(file.files[0]); file.value = ""; });
  for (const name of ["dragenter", "dragover"]) element.addEventListener(name, event => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) element.addEventListener(name, event => { event.preventDefault(); drop.classList.remove("over"); });
  element.addEventListener("drop", event => { const [first] = event.dataTransfer.files; if (first) send(first); });
  one("asked").addEventListener("submit", event => { event.preventDefault(); look(); });
  for (const name of ["play", "seeked", "timeupdate"]) player.addEventListener(name, follow);
  player.addEventListener("error", () => { if (!player.getAttribute("src")) return; state.playable = false; player.hidden = true; one("mute").hidden = false; });
  const plots = one("axis");
  let scrubs = false;
  plots.addEventListener("pointerdown", event => { if (event.target.closest(".title, button, .tau, .edge")) return; scrubs = true; plots.setPointerCapture(event.pointerId); seek(timeAt(event)); });
  plots.addEventListener("pointermove", event => { if (scrubs) seek(timeAt(event)); });
  for (const name of ["pointerup", "pointercancel"]) plots.addEventListener(name, () => { scrubs = false; });
  element.addEventListener("keydown", event => {
    if (event.key !== " " || event.target.closest("button, input, select, summary, video, a") || !state.playable || !state.clip) return;
    event.preventDefault();
    if (player.paused) player.play().catch(() => {}); else player.pause();
  });
  one("graph").addEventListener("toggle", () => state.clip && drawGraph());
  one("formats").replaceChildren(...formats.map(([name, what]) => make("button", { type: "button", class: "download", "data-format": name, onclick: () => download(name) }, what)));
  async function download(format) {
    const answer = state.clip.answers[0];
    const body = JSON.stringify({ token: state.clip.token, answer: answer.id, format, tau: state.taus[0], events: state.edited ? state.events[0] : null });
    const reply = await fetch("page/export", { method: "POST", body });
    if (!reply.ok) return tell(await reply.text(), undefined, true);
    const link = make("a", { href: URL.createObjectURL(await reply.blob()), download: decodeURIComponent(reply.headers.get("X-File-Name")) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  one("save").addEventListener("click", () => { tell("Saving", null); trigger("save", { token: state.clip.token, answer: state.clip.answers[0].id, events: state.events[0] }); });
  one("teach").addEventListener("click", () => { tell("Training", null); trigger("teach", { answer: state.clip.answers[0].id }); });
  new ResizeObserver(() => { if (!state.clip) return; one("frames .plot")?.replaceChildren(...drawFrames()); one("ruler .plot")?.replaceChildren(ruler()); mark(); }).observe(over);
  fillIntake(props.value);
};
