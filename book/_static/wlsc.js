/* What every page does: figures open large, and terms of the glossary say what they mean where they stand. */
(function () {
  "use strict";

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    made.append(...children);
    return made;
  }

  /* --- Figures --- */

  /* Size in the large view of a drawing, and of a picture of 160 pixels per inch, whose words are then as large. */
  const SCALES = { svg: 1.1, png: 0.66 };

  function enlargeFigures() {
    const pictures = document.querySelectorAll(".bd-article :is(figure, .cell_output) img");
    const shown = [...pictures].filter((image) => !image.closest(".wlsc-explorer, a, button"));
    if (shown.length) {
      const view = largeView();
      shown.forEach((image) => makeEnlargeable(image, view));
    }
  }

  /** A dialog for one picture; the browser closes it with Escape and gives the focus back. */
  function largeView() {
    const close = element("button", { type: "button", class: "wlsc-close" }, "Close");
    const ground = element("div", { class: "wlsc-ground", tabindex: 0, role: "region", "aria-label": "Figure" });
    const dialog = element("dialog", { class: "wlsc-large", "aria-label": "Figure, enlarged" }, close, ground);
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
    return (image) => {
      const large = element("img", { src: image.currentSrc || image.src, alt: image.alt });
      const fitting = Math.min((0.94 * innerWidth) / image.naturalWidth, (0.84 * innerHeight) / image.naturalHeight);
      const legible = SCALES[large.src.split(".").pop()] ?? 1;
      large.style.width = `${Math.round(image.naturalWidth * Math.max(fitting, legible))}px`;
      ground.replaceChildren(large);
      dialog.showModal();
      ground.scrollTo(0, 0);
    };
  }

  function makeEnlargeable(image, view) {
    const button = element("button", { type: "button", class: "wlsc-enlarge", "aria-label": `Enlarge: ${image.alt}` });
    const scroller = element("div", { class: "wlsc-scroller" }, button);
    const hint = element("p", { class: "wlsc-hint", "aria-hidden": "true" }, "Swipe for the rest, or tap to enlarge.");
    image.replaceWith(scroller);
    button.append(image);
    scroller.after(hint);
    button.addEventListener("click", () => view(image));
    const look = () => {
      const rest = scroller.scrollWidth - scroller.clientWidth;
      hint.hidden = rest <= 1;
      scroller.classList.toggle("wlsc-more", rest - scroller.scrollLeft > 1);
    };
    scroller.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(scroller);
    new ResizeObserver(look).observe(button);
  }

  /* --- Terms --- */

  function defineTerms() {
    const terms = document.querySelectorAll("a[data-definition]");
    if (!terms.length) {
      return;
    }
    const note = element("div", { id: "wlsc-definition", role: "tooltip", hidden: "" });
    document.body.append(note);
    let shown = null;
    let tapped = null;
    let leaving;

    const hide = () => {
      shown?.removeAttribute("aria-describedby");
      shown = null;
      note.hidden = true;
    };
    const show = (term) => {
      clearTimeout(leaving);
      hide();
      shown = term;
      note.textContent = term.dataset.definition;
      term.setAttribute("aria-describedby", note.id);
      note.hidden = false;
      const place = term.getClientRects()[0];
      const left = Math.min(place.left, document.documentElement.clientWidth - note.offsetWidth - 8);
      const isBelow = place.bottom + note.offsetHeight + 8 < innerHeight;
      note.style.left = `${scrollX + Math.max(left, 8)}px`;
      note.style.top = `${scrollY + (isBelow ? place.bottom + 2 : place.top - note.offsetHeight - 2)}px`;
    };
    const leave = () => {
      leaving = setTimeout(hide, 200); /* time to reach the note itself */
    };

    terms.forEach((term) => {
      term.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && show(term));
      term.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
      term.addEventListener("focus", () => show(term));
      term.addEventListener("blur", hide);
      term.addEventListener("click", (event) => {
        if (event.pointerType === "touch" && tapped !== term) {
          event.preventDefault(); /* the first tap tells, the second goes to the glossary */
          show(term);
          tapped = term;
        }
      });
    });
    note.addEventListener("pointerenter", () => clearTimeout(leaving));
    note.addEventListener("pointerleave", leave);
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
    document.addEventListener("pointerdown", (event) => {
      if (!event.target.closest("#wlsc-definition, a[data-definition]")) {
        tapped = null;
        hide();
      }
    });
  }

  /* --- Notes --- */

  /** Where there is no margin, a note stands below what it is about, which it precedes in the text. */
  function placeNotes() {
    if (matchMedia("(max-width: 991px)").matches) {
      document.querySelectorAll(".bd-article aside.margin").forEach((note) => {
        let about = note.nextElementSibling;
        while (about?.nextElementSibling?.matches("div.math")) {
          about = about.nextElementSibling;
        }
        about?.after(note);
      });
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    placeNotes();
    enlargeFigures();
    defineTerms();
  });
})();
