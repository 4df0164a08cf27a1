// Looks at a page in a frame as a reader would: does it fit, can it be read, is it in order. Prints JSON.
const rgba = (text) => {
  const part = text.match(/[\d.]+(e-?\d+)?/g).map(Number);
  const scale = text.startsWith("color(") ? 255 : 1;
  return [part[0] * scale, part[1] * scale, part[2] * scale, part.length > 3 ? part[3] : 1];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
const light = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (view, element) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) layers.push(rgba(view.getComputedStyle(one).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
};
const look = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
  const faint = [], small = [];
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  let read = 0;
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || element.closest("style, title, desc, .hidden")) continue;
    const style = view.getComputedStyle(element), below = behind(view, element.closest("svg")?.parentElement ?? element);
    const ink = over(rgba(element.closest("svg") ? style.fill : style.color), below);
    const [high, low] = [light(ink), light(below)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    read += 1;
    if (ratio < (large ? 3 : 4.5)) faint.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
    const drawn = element.closest("svg") ? element.getBoundingClientRect().height / 1.2 : size;
    if (drawn < 8) small.push(`${text.slice(0, 40)}: ${drawn.toFixed(1)} px`);
  }
  const wide = [...page.querySelectorAll("body *")].filter((one) => !one.closest(".scroll, svg, .hidden"))
    .filter((one) => one.getBoundingClientRect().right > root.clientWidth + 1).map((one) => `${one.tagName} ${one.textContent.slice(0, 40)}`);
  return {
    width: root.clientWidth, scroll: root.scrollWidth, read, faint, small, wide,
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    pictures: page.querySelectorAll("svg.picture").length,
    drawn: [...page.querySelectorAll("svg.picture")].filter((one) => one.getBoundingClientRect().width > 100).length,
    reachable: [...page.querySelectorAll(".scroll")].every((one) => { one.focus(); return page.activeElement === one; }),
  };
};
window.addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(look);
  document.body.innerHTML = "";
  document.body.append(Object.assign(document.createElement("pre"), { id: "found", textContent: JSON.stringify(found) }));
});
