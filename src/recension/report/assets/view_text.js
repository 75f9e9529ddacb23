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

class Text {
  constructor(parts, article, search) {
    this.article = article;
    this.search = search;
    this.full = joined(parts);
    this.pieces = [];
    let at = 0;
    for (const s of parts) {
      const mark = typeof s === "string" ? null : s;
      const length = mark ? s[1].length : s.length;
      this.pieces.push({ at, end: at + length, mark, edit: mark ? article.edits++ : -1 });
      at += length;
    }
    this.hits = hitsIn(this.full, search);
    this.node = make("div", "text");
    this.node.dir = "auto";
    this.drawn = 0;      // characters drawn or folded so far
    this.piece = 0;
    this.ranges = this.open();
    this.next = 0;
    this.more();
  }
  // The stretches to show: all of a short text, the surroundings of edits and hits in a long one.
  open() {
    const end = this.full.length;
    if (end <= LONG) return [[0, end, 0]];
    const anchors = [...this.pieces.filter((p) => p.mark).map((p) => [p.at, p.end]), ...this.hits].sort((a, b) => a[0] - b[0]);
    if (!anchors.length) return [[0, cut(this.full, 480, -1), 0]];
    const ranges = [];
    for (const [a, b] of anchors) {
      const from = a - AROUND <= 80 ? 0 : cut(this.full, a - AROUND, 1);
      const to = b + AROUND >= end - 80 ? end : cut(this.full, b + AROUND, -1);
      const before = ranges.at(-1);
      if (before && from - before[1] < 80) { before[1] = Math.max(before[1], to); before[2]++; }
      else ranges.push([Math.min(from, a), Math.max(to, b), 1]);
      // A range of very many edits is cut, so that drawing stays in portions.
      if (ranges.at(-1)[2] >= AT_ONCE) ranges.push([ranges.at(-1)[1], ranges.at(-1)[1], 0]);
    }
    return ranges;
  }
  more() {
    this.button?.remove();
    this.button = null;
    for (let seen = 0; this.next < this.ranges.length && seen < AT_ONCE; this.next++) {
      const [from, to, anchors] = this.ranges[this.next];
      if (from > this.drawn) this.fold(this.drawn, from);
      this.draw(this.node, from, to);
      this.drawn = Math.max(this.drawn, to);
      seen += anchors;
    }
    if (this.next < this.ranges.length) {
      this.button = make("button", "fold", "show more of this text");
      this.button.type = "button";
      this.button.addEventListener("click", () => this.more());
      this.node.append(this.button);
    } else if (this.drawn < this.full.length) this.fold(this.drawn, this.full.length);
  }
  fold(from, to) {
    const button = make("button", "fold", `… ${number(to - from)} characters …`);
    button.type = "button";
    button.addEventListener("click", () => {
      const shown = document.createDocumentFragment();
      this.draw(shown, from, to);
      button.replaceWith(shown);
    });
    this.node.append(button);
    this.drawn = to;
  }
  pieceAt(at) {
    let low = 0, high = this.pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.pieces[middle].end < at) low = middle + 1; else high = middle;
    }
    return low;
  }
  draw(into, from, to) {
    const hits = this.hits.filter(([a, b]) => b > from && a < to);
    for (let k = this.pieceAt(from); k < this.pieces.length && this.pieces[k].at <= to; k++) {
      const piece = this.pieces[k];
      if (piece.mark) {
        if (!this.article.marks[piece.edit] && piece.at >= from) into.append(this.marked(piece, hits));
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
