// Small controls of the side panel; each is an element with `set(value)`.

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function section(title, open, ...children) {
  return make("details", { open }, make("summary", { textContent: title }), ...children);
}

export const line = (...children) => make("div", { className: "row" }, ...children);

export const button = (text, act, title = "") => make("button", { textContent: text, title, type: "button", onclick: act });

function labelled(text, input, title = "") {
  return make("label", { title }, make("span", { textContent: text }), input);
}

export function slider(text, value, low, high, act, { logarithmic = false, digits = 0 } = {}) {
  const to = (v) => (logarithmic ? Math.log(v) : v);
  const from = (v) => (logarithmic ? Math.exp(v) : v);
  const input = make("input", { type: "range", min: to(low), max: to(high), step: "any", value: to(value) });
  const element = labelled(text, input);
  const say = (v) => (input.title = v.toFixed(digits));
  input.addEventListener("input", () => { const v = from(Number(input.value)); say(v); act(v); });
  element.set = (v) => { input.value = to(v); say(v); };
  say(value);
  return element;
}

export function choice(text, names, value, act) {
  const input = make("select", {}, ...names.map((n) => (Array.isArray(n) ? new Option(n[1], n[0]) : new Option(n, n))));
  input.value = value;
  input.addEventListener("change", () => act(input.value));
  const element = labelled(text, input);
  element.set = (v) => (input.value = v);
  element.input = input;
  return element;
}

export function check(text, value, act, title = "") {
  const input = make("input", { type: "checkbox", checked: Boolean(value) });
  input.addEventListener("change", () => act(input.checked));
  const element = make("label", { className: "check", title }, input, make("span", { textContent: text }));
  element.set = (v) => (input.checked = v);
  element.input = input;
  return element;
}

export function numberField(text, value, act, { unit = "", placeholder = "" } = {}) {
  const input = make("input", { type: "number", step: "any", value: value ?? "", placeholder });
  input.addEventListener("change", () => act(input.value === "" ? null : Number(input.value)));
  const element = labelled(unit ? `${text} (${unit})` : text, input);
  element.set = (v) => (input.value = v ?? "");
  return element;
}

export function textField(text, value, act, placeholder = "") {
  const input = make("input", { type: "text", value: value ?? "", placeholder });
  input.addEventListener("change", () => act(input.value.trim()));
  const element = labelled(text, input);
  element.set = (v) => (input.value = v ?? "");
  element.input = input;
  return element;
}
