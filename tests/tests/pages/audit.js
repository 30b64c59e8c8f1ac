// What is wrong with the present page for those who see it: a list of sentences, empty where nothing is.
// Run as the body of a function, in any browser.
"use strict";
const wrong = new Set();
const name = element => `<${element.localName}${element.id ? " #" + element.id : ""}${element.className ? " ." + element.className : ""}>`;
const shown = element => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

// Any colour that CSS knows, as sRGB.
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = color => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
const luminance = ([r, g, b]) => {
  const linear = [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * linear[0] + .7152 * linear[1] + .0722 * linear[2];
};
const ratio = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + .05) / (dark + .05);
};
const behind = element => {
  if (!element) return rgba("Canvas");
  const color = rgba(getComputedStyle(element).backgroundColor);
  return color[3] === 1 ? color : over(color, behind(element.parentElement));
};
const check = (what, color, background, least) => {
  const found = ratio(over(rgba(color), background), background);
  if (found < least) wrong.add(`${what}: a contrast of ${found.toFixed(2)}, not ${least}`);
};

// WCAG 1.4.3: text, and 1.4.11: the edges of what is to be found.
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim()) continue;
  if (["script", "style"].includes(element.localName) || !shown(element) || element.closest(":disabled")) continue;
  const style = getComputedStyle(element);
  if (Number(style.opacity) < 1) wrong.add(`${name(element)}: text that shines through`);
  check(`${name(element)} "${texts.currentNode.data.trim().slice(0, 20)}"`, style.color, behind(element), 4.5);
}
for (const input of document.querySelectorAll("input:not([type=checkbox])")) {
  if (!shown(input)) continue;
  const style = getComputedStyle(input);
  check(`${name(input)} edge`, style.borderTopColor, behind(input.parentElement), 3);
  if (input.placeholder) {
    const placeholder = getComputedStyle(input, "::placeholder");
    check(`${name(input)} placeholder`, placeholder.color, behind(input), 4.5);
    canvas.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    // Not clientWidth, which leaves an input's padding out in Firefox alone.
    const edges = ["paddingLeft", "paddingRight", "borderLeftWidth", "borderRightWidth"];
    const room = edges.reduce((room, edge) => room - parseFloat(style[edge]), input.getBoundingClientRect().width);
    const { width } = canvas.measureText(input.placeholder);
    if (width > room) wrong.add(`${name(input)}: "${input.placeholder}" takes ${width} of ${room} pixels: cut off`);
  }
}

// Each control says in sight what it is, and can be hit (WCAG 2.5.8).
for (const control of document.querySelectorAll("input, button, summary")) {
  if (!shown(control)) continue;
  if (control.localName === "input" && ![...control.labels].some(label => shown(label) && label.innerText.trim())) {
    wrong.add(`${name(control)}: no label in sight`);
  }
  const box = (control.type === "checkbox" ? control.labels[0] : control).getBoundingClientRect();
  if (box.height < 24 || box.width < 24) wrong.add(`${name(control)}: only ${box.width} by ${box.height} pixels`);
}

// Nothing is wider than the window.
const { scrollWidth, clientWidth } = document.documentElement;
if (scrollWidth > clientWidth) wrong.add(`${scrollWidth} pixels of page in ${clientWidth} of window`);
return [...wrong];
