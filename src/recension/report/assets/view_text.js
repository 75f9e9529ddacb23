// One text with its edits and the hits of a search: what is drawn, and what is folded away.
const AROUND = 160;     // characters kept on each side of an edit or a hit in a long text
const LONG = 1500;      // shorter texts are never folded
const AT_ONCE = 300;    // edits and hits of one text drawn before it asks to go on
const HITS = 200;       // hits of one text that are looked for


const make = (tag, kind, text) => {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  if (text !== undefined) node.textContent = text;
  return node;
};
const number = (n) => n.toLocaleString("en-US");
const counted = (n, one) => `${number(n)} ${one}${n === 1 ? "" : "s"}`;
const probability = (p) => (p === null ? "p –" : `p ${p >= 0.001 ? p.toFixed(4) : p === 0 ? "0" : p.toExponential(1)}`);
const SEEN = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍" };
const visible = (text) => (text === "" ? "∅" : text.replace(/[ \n\t\r]/g, (c) => SEEN[c])
  .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`));

// What a document says after the chosen generation: the newest text of each field that is not younger.
const textsOf = (doc, generation) => {
  const byPath = new Map();
  for (const text of doc.texts) {
    const held = byPath.get(text.p);
    if (!held) byPath.set(text.p, text);
    else if (text.g <= generation && (text.g > held.g || held.g > generation)) byPath.set(text.p, text);
  }
  return [...byPath.values()].map((text) => {
    if (text.g === generation) return { path: text.p, parts: text.s };
    const plain = text.s.map((s) => (typeof s === "string" ? s : s[text.g < generation ? 1 : 0])).join("");
    return { path: text.p, parts: [plain] };
  });
};
const joined = (parts) => parts.map((s) => (typeof s === "string" ? s : s[1])).join("");
const pattern = (query) => new RegExp(query.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");
const hitsIn = (text, search) => {
  const hits = [];
  if (!search) return hits;
  search.lastIndex = 0;
  for (let m; hits.length < HITS && (m = search.exec(text)); ) {
    if (!m[0]) break;
    hits.push([m.index, m.index + m[0].length]);
  }
  return hits;
};
const found = (search, text) => { search.lastIndex = 0; return search.test(text); };
// Never cut a pair of surrogates, a combining mark or a joined emoji from what it belongs to.
const glued = (text, at) => {
  const c = text.codePointAt(at);
  return c !== undefined && (/[\p{M}\p{Emoji_Modifier}\u200d\ufe0f]/u.test(String.fromCodePoint(c)) || (c >= 0xdc00 && c <= 0xdfff));
};
const cut = (text, at, towards) => {
  for (let k = 0; k < 24; k++) if (/\s/.test(text[at + towards * k] ?? " ")) return Math.min(Math.max(at + towards * k, 0), text.length);
  while (at > 0 && at < text.length && (glued(text, at) || text[at - 1] === "\u200d")) at += towards;
  return at;
};

const lit = (into, text, from, hits) => {
  let at = 0;
  for (const [a, b] of hits) {
    const start = Math.max(a - from, at), end = Math.min(b - from, text.length);
    if (end <= 0 || start >= text.length || end <= start) continue;
    if (start > at) into.append(text.slice(at, start));
    into.append(make("span", "hit", text.slice(start, end)));
    at = end;
  }
  if (at < text.length) into.append(text.slice(at));
};

// How many items at the front of a list hold the condition.
const after = (list, holds) => {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(list[middle])) low = middle + 1; else high = middle;
  }
  return low;
};

class Text {
  constructor(parts, article, search) {
    this.article = article;
    this.search = search;
    this.full = joined(parts);
    this.pieces = [];
    let at = 0;
    for (const s of parts) {
      const mark = typeof s === "string" ? null : s;
      const end = at + (mark ? s[1].length : s.length);
      if (mark) article.home.push({ text: this, at });
      this.pieces.push({ at, end, mark, edit: mark ? article.home.length - 1 : -1 });
      at = end;
    }
    this.hits = hitsIn(this.full, search);
    this.node = make("div", "text");
    this.portions = this.divide(this.open());
    for (const portion of this.portions) {
      portion.pill = this.pill(portion.to - portion.from, portion.edits, () => this.show(portion));
      this.node.append(portion.pill);
    }
    this.show(this.portions[0]);
    for (const [start] of this.hits) this.reach(start); // so that a search can go through them
    this.node.dir = "auto"; // last: the browser looks for the direction again at every change
  }
  // The stretches to show: all of a short text, the surroundings of edits and hits in a long one.
  open() {
    const end = this.full.length;
    if (end <= LONG) return [{ from: 0, to: end, anchors: 0, edits: this.pieces.length >> 1 }];
    const anchors = this.pieces.filter((p) => p.mark).map((p) => [p.at, p.end, 1]);
    for (const [a, b] of this.hits) anchors.push([a, b, 0]);
    anchors.sort((x, y) => x[0] - y[0]);
    if (!anchors.length) return [{ from: 0, to: cut(this.full, 480, -1), anchors: 0, edits: 0 }];
    const ranges = [];
    for (const [a, b, edits] of anchors) {
      const from = a - AROUND <= 80 ? 0 : cut(this.full, a - AROUND, 1);
      const to = b + AROUND >= end - 80 ? end : cut(this.full, b + AROUND, -1);
      const before = ranges.at(-1);
      const range = { from: Math.min(from, a), to: Math.max(to, b), end: b, anchors: 1, edits };
      if (!before || from - before.to >= 80) ranges.push(range);
      else if (before.anchors < AT_ONCE || a < before.end) {
        before.to = Math.max(before.to, range.to);
        before.end = Math.max(before.end, b);
        before.anchors++;
        before.edits += edits;
      } else {
        before.to = range.from = a; // a crowd of edits is cut, so that it is drawn in portions
        ranges.push(range);
      }
    }
    return ranges;
  }
  // Ranges gathered to portions that are drawn together; side by side they cover the whole text.
  divide(ranges) {
    const portions = [];
    for (const range of ranges) {
      let portion = portions.at(-1);
      if (!portion || portion.anchors + range.anchors > AT_ONCE) {
        portion = { from: portion ? portion.to : 0, to: 0, anchors: 0, edits: 0, ranges: [], pill: null };
        portions.push(portion);
      }
      portion.ranges.push(range);
      portion.anchors += range.anchors;
      portion.edits += range.edits;
      portion.to = range.to;
    }
    portions.at(-1).to = this.full.length;
    return portions;
  }
  pill(characters, edits, act) {
    const what = `${number(characters)} characters${edits ? `, ${counted(edits, "edit")}` : ""}`;
    const button = make("button", "fold", `… ${what} …`);
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  }
  show(portion) {
    if (!portion.pill) return;
    const shown = document.createDocumentFragment();
    let at = portion.from;
    for (const { from, to } of portion.ranges) {
      this.fold(shown, at, from);
      this.draw(shown, from, to);
      at = to;
    }
    this.fold(shown, at, portion.to);
    portion.pill.replaceWith(shown);
    portion.pill = null;
  }
  // Draw the portion that a character of the text is in.
  reach(at) {
    this.show(this.portions[Math.max(0, after(this.portions, (p) => p.from <= at) - 1)]);
  }
  fold(into, from, to) {
    if (to <= from) return;
    const button = this.pill(to - from, 0, () => {
      const shown = document.createDocumentFragment();
      this.draw(shown, from, to);
      button.replaceWith(shown);
    });
    into.append(button);
  }
  draw(into, from, to) {
    const hits = this.hits.filter(([a, b]) => b > from && a < to);
    const last = to === this.full.length;
    for (let k = after(this.pieces, (p) => p.end < from); k < this.pieces.length; k++) {
      const piece = this.pieces[k];
      if (piece.at > to || (piece.at === to && !last)) break;
      if (piece.mark) {
        // A mark belongs where it starts, and is drawn whole.
        if (piece.at >= from) into.append(this.marked(piece, hits));
        continue;
      }
      const a = Math.max(piece.at, from), b = Math.min(piece.end, to);
      if (b > a) lit(into, this.full.slice(a, b), a, hits.filter(([x, y]) => y > a && x < b));
    }
  }
  marked(piece, hits) {
    const [old, now] = piece.mark;
    const mark = make("mark");
    mark.tabIndex = 0;
    mark.setAttribute("aria-describedby", "tip");
    // White space that both begin with stays outside the colours.
    let lead = 0;
    while (lead < Math.min(old.length, now.length) && old[lead] === now[lead] && /\s/.test(now[lead])) lead++;
    if (!now.slice(lead).trim() || !old.slice(lead).trim()) lead = 0;
    const hit = hits.filter(([a, b]) => b > piece.at && a < piece.end);
    const was = make("del", "", old.slice(lead)), is = make("ins");
    lit(mark, now.slice(0, lead), piece.at, hit);
    lit(is, now.slice(lead), piece.at + lead, hit);
    if (!now.trim()) is.dataset.seen = visible(now);
    if (!old.trim()) was.dataset.seen = visible(old);
    if (this.search && found(this.search, old)) mark.classList.add("was-hit");
    mark.append(was, is);
    mark.edit = { place: this.article.place, edit: piece.edit, mark: piece.mark };
    this.article.marks[piece.edit] = mark;
    return mark;
  }
}
