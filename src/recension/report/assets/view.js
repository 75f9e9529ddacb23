// The documents of the page: search, pages, going about, the tip.
const PAGE = 20;        // documents on a page

const $ = (id) => document.getElementById(id);

// The documents stand in blocks; a block is parsed when one of its documents is wanted.
const blocks = [...document.querySelectorAll("script.block")].map((element) => ({ element, documents: null }));
const index = JSON.parse(document.querySelector("script.index").textContent);
const known = index.documents.map(([block, ...counts]) => ({ block, counts: new Map(counts) }));
let last = -1, row = 0;
for (const entry of known) {
  row = entry.block === last ? row + 1 : 0;
  last = entry.block;
  entry.row = row;
}
const read = (i) => {
  const { block, row } = known[i];
  if (!blocks[block].documents) {
    blocks[block].documents = JSON.parse(blocks[block].element.textContent);
    blocks[block].element.textContent = "";
  }
  return blocks[block].documents[row];
};

const generations = [...new Set(known.flatMap((d) => [...d.counts.keys()]))].sort((a, b) => a - b);
const state = {
  generation: generations.at(-1) ?? 1, query: "", editedOnly: false, modes: ["new", "both", "old"], mode: 0,
  list: [], starts: [0], page: 0, document: -1, edit: -1,
};
const editsOf = (i) => known[i].counts.get(state.generation) ?? 0;
const total = () => state.starts[state.list.length];
let articles = new Map(); // place in the list -> what is drawn of it

// ---- documents

const matches = (i, search) => {
  const doc = read(i);
  if (found(search, doc.id) || found(search, doc.place)) return true;
  return textsOf(doc, state.generation).some(({ parts }) => found(search, joined(parts))
    || parts.some((s) => typeof s !== "string" && found(search, s[0])));
};

const draw = (place) => {
  const doc = read(state.list[place]);
  const search = state.query ? pattern(state.query) : null;
  const article = { place, home: [], marks: [], node: make("article", "doc") };
  const head = make("header"), title = make("h3");
  title.dir = "auto";
  lit(title, doc.id, 0, hitsIn(doc.id, search));
  article.node.setAttribute("aria-label", `Document ${doc.id}`);
  article.node.tabIndex = -1;
  head.append(title);
  const where = make("span");
  lit(where, doc.place, 0, hitsIn(doc.place, search));
  head.append(where);
  if (index.editions > 1) head.append(make("span", "", `edition ${doc.edition}`));
  head.append(make("span", "count", counted(editsOf(state.list[place]), "edit")));
  article.node.append(head);
  const texts = textsOf(doc, state.generation);
  for (const { path, parts } of texts) {
    if (texts.length > 1 || path !== "text") article.node.append(make("p", "path", path));
    const text = new Text(parts, article, search);
    article.node.append(text.node);
  }
  return article;
};

const show = (page) => {
  hideTip();
  state.page = page;
  articles = new Map();
  const holder = $("documents");
  holder.replaceChildren();
  const end = Math.min((page + 1) * PAGE, state.list.length);
  for (let place = page * PAGE; place < end; place++) {
    const article = draw(place);
    articles.set(place, article);
    holder.append(article.node);
  }
  if (!state.list.length) {
    const empty = make("div", "empty", state.query ? `Nothing matches “${state.query}”.` : "There are no documents to show.");
    if (state.query || state.editedOnly) {
      const clear = make("button", "", "Show all documents");
      clear.type = "button";
      clear.addEventListener("click", () => {
        $("find").value = "";
        $("edited-only").checked = state.editedOnly = false;
        filter("");
        $("find").focus();
      });
      empty.append(make("br"), clear);
    }
    holder.append(empty);
  }
  const pages = Math.ceil(state.list.length / PAGE), nav = $("pages");
  nav.hidden = pages < 2;
  if (pages < 2) return;
  const step = (label, to) => {
    const button = make("button", "", label);
    button.type = "button";
    button.disabled = to < 0 || to >= pages;
    button.addEventListener("click", () => { select(to * PAGE, -1); });
    return button;
  };
  nav.replaceChildren(step("‹ Earlier", page - 1), make("span", "", `page ${number(page + 1)} of ${number(pages)}`), step("Later ›", page + 1));
};

const place = () => {
  const some = state.list.length > 0;
  $("where-document").textContent = some
    ? (state.document < 0 ? counted(state.list.length, "document") : `doc ${number(state.document + 1)} / ${number(state.list.length)}`) : "no documents";
  $("where-edit").textContent = total()
    ? (state.edit < 0 ? counted(total(), "edit") : `edit ${number(state.starts[state.document] + state.edit + 1)} / ${number(total())}`) : "no edits";
  for (const id of ["previous-document", "next-document"]) $(id).disabled = !some;
  for (const id of ["previous-edit", "next-edit"]) $(id).disabled = !total();
};

const filter = (query) => {
  state.query = query.trim();
  const search = state.query ? pattern(state.query) : null;
  state.list = [];
  state.starts = [0];
  for (let i = 0; i < known.length; i++) {
    if (state.editedOnly && !editsOf(i)) continue;
    if (search && !matches(i, search)) continue;
    state.list.push(i);
    state.starts.push(state.starts.at(-1) + editsOf(i));
  }
  state.document = state.edit = -1;
  show(0);
  place();
  const narrowed = state.query || state.editedOnly;
  $("found").textContent = (narrowed ? `${number(state.list.length)} of ${counted(known.length, "document")}` : counted(known.length, "document"))
    + (known.length < index.written ? ` on this page, out of ${number(index.written)} in the run` : "")
    + ` · ${counted(total(), "edit")}`;
};

// ---- going about

const unmark = () => document.querySelectorAll(".current").forEach((node) => node.classList.remove("current"));
const select = (document_, edit) => {
  if (!state.list.length) return;
  hideTip();
  state.document = document_;
  state.edit = edit;
  const page = Math.floor(document_ / PAGE);
  if (page !== state.page || !articles.has(document_)) show(page);
  unmark();
  const article = articles.get(document_);
  article.node.classList.add("current");
  place();
  const byKey = !document.activeElement || !["BUTTON", "INPUT", "SELECT"].includes(document.activeElement.tagName);
  if (edit < 0) {
    article.node.scrollIntoView({ block: "start" });
    if (byKey) article.node.focus({ preventScroll: true });
    return;
  }
  article.home[edit].text.reach(article.home[edit].at);
  const mark = article.marks[edit];
  mark.classList.add("current");
  mark.scrollIntoView({ block: "center" });
  if (byKey) mark.focus({ preventScroll: true });
  showTip(mark);
  const [old, now] = mark.edit.mark;
  $("said").textContent = `${$("where-edit").textContent}: ${visible(old)} became ${visible(now)}`;
};
const stepEdit = (by) => {
  if (!total()) return;
  let at;
  if (state.edit >= 0) at = state.starts[state.document] + state.edit + by;
  else if (state.document >= 0) at = by > 0 ? state.starts[state.document] : state.starts[state.document] - 1;
  else at = by > 0 ? state.starts[state.page * PAGE] : state.starts[state.page * PAGE] - 1;
  at = (at + total()) % total();
  const place = after(state.starts, (start) => start <= at) - 1;
  select(place, at - state.starts[place]);
};
const stepDocument = (by) => {
  const count = state.list.length;
  if (!count) return;
  const from = state.document < 0 ? state.page * PAGE - (by > 0 ? 1 : 0) : state.document;
  select((from + by + count) % count, -1);
};

const stepHit = (by) => {
  let hits = [...document.querySelectorAll(".hit, mark.was-hit")];
  if (!state.list.length || !hits.length) return;
  let at = hits.findIndex((hit) => hit.classList.contains("current-hit"));
  hits[at]?.classList.remove("current-hit");
  at = at < 0 ? (by > 0 ? 0 : hits.length - 1) : at + by;
  if (at < 0 || at >= hits.length) {
    const pages = Math.ceil(state.list.length / PAGE);
    if (pages > 1) {
      show((state.page + by + pages) % pages);
      hits = [...document.querySelectorAll(".hit, mark.was-hit")];
    }
    at = by > 0 ? 0 : hits.length - 1;
  }
  hits[at].classList.add("current-hit");
  hits[at].scrollIntoView({ block: "center" });
  $("said").textContent = `hit ${number(at + 1)} of ${number(hits.length)} on this page`;
};

// ---- the tip

const tip = $("tip");
let tipped = null;
const hideTip = () => { tip.hidden = true; tipped = null; };
const showTip = (mark) => {
  const { place: at, edit, mark: [old, now, pOld, pNew] } = mark.edit;
  const line = (kind, label, token, p) => {
    const row = make("div", `row ${kind}`);
    row.append(make("span", "label", label), make("span", "token", visible(token)), make("span", "p", probability(p)));
    return row;
  };
  tip.replaceChildren(line("was", "before", old, pOld), line("now", "after", now, pNew),
    make("div", "of", `edit ${number(edit + 1)} of ${number(editsOf(state.list[at]))} in this document`));
  tip.hidden = false;
  tipped = mark;
  const box = [...mark.getClientRects()].find((r) => r.width) ?? mark.getBoundingClientRect();
  const own = tip.getBoundingClientRect();
  const bar = $("toolbar").getBoundingClientRect().bottom;
  const below = box.bottom + 8 + own.height <= innerHeight || box.top - 8 - own.height < bar;
  tip.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - own.width - 8))}px`;
  tip.style.top = `${below ? box.bottom + 8 : box.top - 8 - own.height}px`;
};
const markOf = (event) => (event.target instanceof Element ? event.target.closest("mark") : null);
const area = $("documents");
area.addEventListener("mouseover", (event) => { const mark = markOf(event); if (mark) showTip(mark); });
area.addEventListener("mouseout", (event) => {
  if (!markOf(event)) return;
  const kept = document.querySelector("mark.current:focus, mark:focus");
  if (kept) showTip(kept); else hideTip();
});
area.addEventListener("focusin", (event) => { const mark = markOf(event); if (mark) showTip(mark); });
area.addEventListener("focusout", hideTip);
area.addEventListener("click", (event) => {
  const mark = markOf(event);
  if (!mark) return;
  unmark();
  state.document = mark.edit.place;
  state.edit = mark.edit.edit;
  articles.get(state.document).node.classList.add("current");
  mark.classList.add("current");
  place();
  showTip(mark);
});
addEventListener("scroll", () => { if (tipped) showTip(tipped); }, { passive: true });
addEventListener("resize", hideTip);

// ---- controls

const setMode = (mode) => {
  state.mode = mode;
  document.body.classList.remove("show-new", "show-both", "show-old");
  document.body.classList.add(`show-${state.modes[mode]}`);
  $("show").value = state.modes[mode];
  hideTip();
};
let waiting = 0;
$("find").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => filter($("find").value), 120);
});
$("find").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    clearTimeout(waiting);
    if ($("find").value.trim() !== state.query) filter($("find").value);
    stepHit(event.shiftKey ? -1 : 1);
  }
  if (event.key === "Escape") { $("find").value = ""; filter(""); $("find").blur(); }
});
$("show").addEventListener("change", () => setMode(state.modes.indexOf($("show").value)));
$("edited-only").addEventListener("change", () => { state.editedOnly = $("edited-only").checked; filter($("find").value); });
$("next-edit").addEventListener("click", () => stepEdit(1));
$("previous-edit").addEventListener("click", () => stepEdit(-1));
$("next-document").addEventListener("click", () => stepDocument(1));
$("previous-document").addEventListener("click", () => stepDocument(-1));
const differ = new Set(Object.values(index.priors)).size > 1;
for (const generation of generations) {
  const prior = index.priors[generation];
  const option = make("option", "", prior && differ ? `${generation} · ${prior}` : `${generation}`);
  option.value = generation;
  $("generation").append(option);
}
$("generation").value = state.generation;
$("generation-pick").hidden = generations.length < 2;
$("generation").addEventListener("change", () => {
  state.generation = Number($("generation").value);
  filter($("find").value);
});
const keys = {
  n: () => stepEdit(1), p: () => stepEdit(-1), j: () => stepDocument(1), k: () => stepDocument(-1),
  o: () => setMode((state.mode + 1) % 3), "/": () => $("find").focus(), Escape: hideTip,
};
addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input[type=search],select,textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});

setMode(0);
$("toolbar").hidden = false;
filter("");
