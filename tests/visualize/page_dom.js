// Runs a page's script against as much of a browser as it uses, and answers with what it drew.
// node page_dom.js page.html '[["layer", "change", "1"], ["rank", "input", "1000"]]'
"use strict";
const fs = require("fs"), vm = require("vm");
const text = fs.readFileSync(process.argv[2], "utf8"), steps = JSON.parse(process.argv[3] ?? "[]");

class Element {
  constructor(tag) {
    Object.assign(this, { tag, children: [], attributes: {}, listeners: {}, style: {}, own: "", value: "" });
    const classes = new Set();
    this.classList = {
      add: word => classes.add(word), remove: word => classes.delete(word), contains: word => classes.has(word),
      toggle: (word, on) => on ? classes.add(word) : classes.delete(word),
    };
  }
  get namespaceURI() { return "svg"; }
  get textContent() { return this.own + this.children.map(child => child.textContent).join(""); }
  set textContent(value) { this.own = String(value); this.children = []; }
  append(...added) { this.children.push(...added.map(child => child instanceof Element ? child : Object.assign(new Element("#text"), { own: child }))); }
  replaceChildren(...added) { this.children = []; this.append(...added); }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  addEventListener(name, call) { (this.listeners[name] ??= []).push(call); }
  fire(name) { for (const call of this.listeners[name] ?? []) call({ target: this }); }
  all(test) { return [...(test(this) ? [this] : []), ...this.children.flatMap(child => child.all(test))]; }
}

const known = {};
for (const [, id] of text.matchAll(/\bid="(\w+)"/g)) known[id] = new Element(id);
known.data.textContent = text.match(/<script id="data"[^>]*>([^]*?)<\/script>/)[1];
const document = {
  getElementById: id => known[id] ?? null,
  createElement: name => new Element(name),
  createElementNS: (space, name) => new Element(name),
};
const Option = function (label, value) { return Object.assign(new Element("option"), { own: label, value: String(value) }); };
vm.runInNewContext(text.match(/<script>([^]*?)<\/script>/)[1], { document, Option, atob });

const inputs = () => known.subgraphs.all(item => item.tag === "input");
for (const [id, event, value] of steps) {
  const target = known[id] ?? inputs().find(input => input.value === id) ?? known.graph.all(item => item.attributes["aria-label"] === id)[0];
  if (value !== undefined) target.value = value;
  target.fire(event);
}
const drawn = known.graph.all(item => item.attributes.class === "edge");
const numbers = known.graph.all(item => item.attributes.d || item.attributes.x).map(item => JSON.stringify(item.attributes));
process.stdout.write(JSON.stringify({
  edges: drawn.map(item => item.textContent), looks: drawn.map(item => item.attributes.style), heads: drawn.map(item => item.attributes["marker-end"]),
  column: known.graph.all(item => item.tag === "text" && Number(item.attributes.x) > 750).map(item => item.own),
 on: drawn.filter(item => item.classList.contains("on")).length,
  nodes: known.graph.all(item => item.attributes.class === "node").map(item => item.attributes["aria-label"]),
  layers: known.layer.children.map(item => item.own), subgraphs: inputs().map(input => input.value),
  drawn: known.drawn.textContent, spoken: known.rank.attributes["aria-valuetext"], said: known.said.textContent,
  facts: known.facts.textContent, rows: known.rows.children.length, broken: numbers.filter(item => /NaN|undefined/.test(item)),
  texts: known.graph.all(item => item.tag === "text").map(item => item.own), images: known.graph.all(item => item.tag === "image").length,
}));
