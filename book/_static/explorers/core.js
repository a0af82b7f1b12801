/* What all explorers share: data, elements, pictures, and numbers read aloud. */
(function (explorers) {
  "use strict";

  const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };

  /**
   * Called by a data script: put an explorer in the place of the still picture that waits for this data. Each kind of
   * explorer is a class of this namespace, made of the data, whose `content` are the elements to show.
   */
  explorers.add = async function (name, packed) {
    const data = await unpacked(packed);
    for (const container of document.querySelectorAll(`[data-explorer="${name}"]:not([data-ready])`)) {
      const explorer = new explorers[data.kind](data);
      container.replaceChildren(...explorer.content);
      container.setAttribute("role", "group");
      container.setAttribute("aria-label", data.title);
      container.explorer = explorer;
      container.dataset.ready = "";
    }
  };

  /** Arrays anywhere within what `wlsc.companion.explorers` wrote, little-endian and deflated; the rest as it is. */
  async function unpacked(value) {
    if (Array.isArray(value)) {
      return Promise.all(value.map(unpacked));
    }
    if (value === null || typeof value !== "object") {
      return value;
    }
    if ("deflated" in value) {
      return new Table(value, await inflated(value.deflated));
    }
    const entries = Object.entries(value).map(async ([key, entry]) => [key, await unpacked(entry)]);
    return Object.fromEntries(await Promise.all(entries));
  }

  async function inflated(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  /** A two-dimensional array, as integers with a step and an offset or as floats. */
  class Table {
    constructor({ dtype, shape, step, offset }, buffer) {
      this.stored = new ARRAYS[dtype](buffer);
      [this.nRows, this.nColumns] = shape;
      Object.assign(this, { step, offset });
    }

    row(index) {
      const stored = this.stored.subarray(index * this.nColumns, (index + 1) * this.nColumns);
      return Float64Array.from(stored, (value) => this.offset + this.step * value);
    }

    rows() {
      return Array.from({ length: this.nRows }, (_, index) => this.row(index));
    }

    /** All rows, one after the other. */
    flat() {
      return Float64Array.from(this.stored, (value) => this.offset + this.step * value);
    }
  }

  /** An HTML element; properties that begin with "on" are listeners, the others attributes. */
  explorers.element = function (tag, attributes = {}, ...children) {
    return furnished(document.createElement(tag), attributes, children);
  };

  explorers.svg = function (tag, attributes = {}, ...children) {
    return furnished(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  };

  function furnished(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) {
        element.addEventListener(name.slice(2), value);
      } else {
        element.setAttribute(name, value);
      }
    }
    element.append(...children);
    return element;
  }

  const { element } = explorers;
  let nControls = 0;

  /** A labelled control: its label, itself, and the text of its value if it has one. */
  explorers.labelled = function (text, control, output = "") {
    control.id = `wlsc-control-${++nControls}`;
    return element("div", { class: "wlsc-control" }, element("label", { for: control.id }, text), control, output);
  };

  /** A slider and the place for the text of its value; `oninput` is told where it stands. */
  explorers.slider = function ({ min = 0, max, step = 1, value = min }, oninput) {
    const listener = () => oninput(Number(slider.value));
    const slider = element("input", { type: "range", min, max, step, value, oninput: listener });
    return [slider, element("span", { class: "wlsc-value", "aria-hidden": "true" })];
  };

  /** Say where a slider stands, for the eye and for those who listen. */
  explorers.tell = function (slider, output, text) {
    slider.setAttribute("aria-valuetext", text);
    output.textContent = text;
  };

  /** A part of an explorer under a heading; `width` is one of its classes, or nothing for a narrow one. */
  explorers.panel = function (title, width, ...children) {
    return element("div", { class: `wlsc-panel ${width}`.trim() }, element("p", { class: "wlsc-heading" }, title), ...children);
  };

  /** A list to choose from: pairs of value and text. */
  explorers.select = function (choices, onchange) {
    const options = choices.map(([value, text]) => element("option", { value }, text));
    return element("select", { onchange }, ...options);
  };

  /** Draw pixels between `low` (black) and `high` (white) on a canvas, one canvas pixel each. */
  explorers.paint = function (canvas, pixels, low, high) {
    const side = Math.round(Math.sqrt(pixels.length));
    canvas.width = canvas.height = side;
    const image = new ImageData(side, side);
    pixels.forEach((value, i) => {
      image.data.fill(255 * ((value - low) / (high - low || 1)), 4 * i, 4 * i + 3);
      image.data[4 * i + 3] = 255;
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
  };

  /** A picture with its text. */
  explorers.picture = function (text) {
    return element("canvas", { class: "wlsc-picture", role: "img", "aria-label": text });
  };

  /** Atoms with a picture, a bar as long as the weight, and the weight; the heaviest first. */
  explorers.AtomList = class {
    constructor(nShown) {
      this.nShown = nShown;
      this.list = element("ol", { class: "wlsc-atoms" });
    }

    /** `atoms` are triples of number, weight and pixels (or null), drawn between `low` (black) and `high` (white). */
    show(atoms, high, low = 0) {
      const heaviest = [...atoms].sort((a, b) => b[1] - a[1]).slice(0, this.nShown);
      this.list.replaceChildren(...heaviest.map(([number, weight, pixels]) => item(number, weight, pixels, low, high)));
    }
  };

  function item(number, weight, pixels, low, high) {
    const bar = element("span", { class: "wlsc-bar", style: `--weight: ${weight}` });
    const content = [element("span", { class: "wlsc-atom-number" }, `atom ${number}`), bar];
    if (pixels) {
      const canvas = explorers.picture(`Picture of atom ${number}`);
      explorers.paint(canvas, pixels, low, high);
      content.unshift(canvas);
    }
    return element("li", {}, ...content, element("span", { class: "wlsc-weight" }, weight.toFixed(3)));
  }

  /** Triples of number, weight and pixels of the atoms that a code uses. */
  explorers.activeAtoms = function (code, rows) {
    return Array.from(code).flatMap((weight, atom) => (weight > 0 ? [[atom, weight, rows[atom]]] : []));
  };

  /** What active atoms make of a patch together. */
  explorers.reconstruct = function (patch, active) {
    return patch.map((_, pixel) => active.reduce((total, [, weight, row]) => total + weight * row[pixel], 0));
  };

  /** A code in words, and how much of the patch it leaves. */
  explorers.describe = function (patch, active, nAtoms) {
    const total = (values) => values.reduce((sum, value) => sum + value * value, 0);
    const picture = explorers.reconstruct(patch, active);
    const error = total(patch.map((value, pixel) => value - picture[pixel])) / total(patch);
    const heaviest = active.reduce((best, entry) => (entry[1] > best[1] ? entry : best));
    return (
      `${active.length} of ${nAtoms} atoms active, the heaviest with weight ${heaviest[1].toFixed(3)}; ` +
      `${(100 * error).toFixed(1)} % of the squared length is not reconstructed.`
    );
  };

  /** Numbers below an explorer. They change at once for the eye, and are read aloud when they have come to rest. */
  explorers.Numbers = class {
    constructor() {
      this.shown = element("p", { class: "wlsc-numbers" });
      this.spoken = element("p", { class: "wlsc-spoken", role: "status", "aria-live": "polite" });
      this.content = [this.shown, this.spoken];
    }

    say(text) {
      const isFirst = this.shown.textContent === ""; // nobody has done anything yet
      this.shown.textContent = text;
      clearTimeout(this.waiting);
      if (isFirst) {
        return;
      }
      this.waiting = setTimeout(() => {
        this.spoken.textContent = text;
      }, 500);
    }
  };

  /** Name and length of a step for an arrow key, [right, down]; undefined for any other key. */
  explorers.arrow = function (key) {
    return { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  };

  /** Place of a pointer within an element, from 0 to 1 along both axes. */
  explorers.place = function (event, target) {
    const box = target.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  /** A number as people write it: three digits that count. */
  explorers.digits = function (value) {
    if (!Number.isFinite(value)) {
      return "–";
    }
    const size = Math.abs(value);
    if (size >= 1e5 || (size > 0 && size < 1e-3)) {
      const [mantissa, exponent] = value.toExponential(1).split("e");
      const raised = String(Number(exponent)).replace(/./g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
      return `${mantissa === "1.0" ? "" : `${mantissa} · `}10${raised}`;
    }
    return String(Number(value.toPrecision(3)));
  };
})((window.wlscExplorers = window.wlscExplorers || {}));
