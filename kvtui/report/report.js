"use strict";
for (const svg of document.querySelectorAll("figure svg[role=img]")) {
  const figure = svg.closest("figure");
  const [, , wide, high] = svg.getAttribute("viewBox").split(" ").map(Number);
  const pitch = Number(svg.dataset.pitch), head = Number(svg.dataset.head);
  let view = { x: 0, y: 0, scale: 1 };

  const tip = figure.appendChild(document.createElement("div"));
  tip.className = "tip";
  tip.hidden = true;
  const said = new Map();
  for (const title of svg.querySelectorAll("path > title")) {
    said.set(title.parentNode, title.textContent);
    title.remove();
  }

  const show = () => {
    const most = { x: wide - wide / view.scale, y: high - high / view.scale };
    view.x = Math.min(Math.max(view.x, 0), most.x);
    view.y = Math.min(Math.max(view.y, 0), most.y);
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${wide / view.scale} ${high / view.scale}`);
    svg.classList.toggle("zoomed", view.scale > 1);
  };
  const zoom = (factor, u = 0.5, v = 0.5) => {
    const scale = Math.min(Math.max(view.scale * factor, 1), 24);
    view.x += u * (wide / view.scale - wide / scale);
    view.y += v * (high / view.scale - high / scale);
    view.scale = scale;
    show();
  };
  const pan = (right, down) => {
    view.x += (right * wide) / view.scale;
    view.y += (down * high) / view.scale;
    show();
  };
  const reset = () => {
    view = { x: 0, y: 0, scale: 1 };
    show();
  };
  const share = (event) => {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  const read = (event) => {
    const text = said.get(event.target);
    tip.hidden = !text;
    if (!text) return;
    const group = event.target.closest("g[data-module]");
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(group.getScreenCTM().inverse());
    const bank = Math.floor((at.y - head) / pitch) * Number(group.dataset.columns) + Math.floor(at.x / pitch) + 1;
    tip.textContent = `${text}\n${group.dataset.module}, bank ${bank}`;
    const box = figure.getBoundingClientRect();
    const x = Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 4);
    tip.style.transform = `translate(${Math.max(4, x)}px, ${event.clientY - box.top + 16}px)`;
  };

  let held = null;
  svg.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!held) return read(event);
    const box = svg.getBoundingClientRect();
    pan((held.x - event.clientX) / box.width, (held.y - event.clientY) / box.height);
    held = { x: event.clientX, y: event.clientY };
  });
  for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, () => (held = null));
  svg.addEventListener("pointerleave", () => (tip.hidden = true));
  svg.addEventListener("dblclick", reset);
  svg.addEventListener(
    "wheel",
    (event) => {
      if (document.activeElement !== svg && !event.ctrlKey) return;
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 300), ...share(event));
    },
    { passive: false },
  );

  const keys = {
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: reset, Escape: reset,
    ArrowLeft: () => pan(-0.15, 0), ArrowRight: () => pan(0.15, 0),
    ArrowUp: () => pan(0, -0.15), ArrowDown: () => pan(0, 0.15),
  };
  svg.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!act || (event.key.startsWith("Arrow") && view.scale === 1)) return;
    event.preventDefault();
    act();
  });
  svg.tabIndex = 0;

  const tools = figure.insertBefore(document.createElement("div"), svg);
  tools.className = "tools";
  const hint = tools.appendChild(document.createElement("span"));
  hint.textContent = "point: what a bank holds · click, then wheel, drag or + − 0";
  for (const [text, label, act] of [["+", "larger", () => zoom(1.5)], ["−", "smaller", () => zoom(1 / 1.5)], ["⟲", "all of it", reset]]) {
    const button = tools.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", act);
  }
}
