// The gallery's pictures in full; then everything starts.

const viewer = one("viewer");
let current = 0;

const pictures = () => find("#gallery article:not([hidden]) li:not([hidden]) a");

function show(position) {
  const all = pictures();
  current = (position + all.length) % all.length;
  const [link, picture] = [all[current], one("viewer-picture")];
  picture.onerror = () => {
    picture.onerror = null;
    picture.src = link.querySelector("img").src;
  };
  picture.src = link.href;
  picture.alt = link.dataset.title;
  one("viewer-title").textContent = link.dataset.title;
  if (!viewer.open) viewer.showModal();
}

one("gallery")?.addEventListener("click", (event) => {
  const link = event.target.closest("li a");
  if (!link) return;
  event.preventDefault();
  show(pictures().indexOf(link));
});
one("previous").addEventListener("click", () => show(current - 1));
one("next").addEventListener("click", () => show(current + 1));
one("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
viewer.addEventListener("close", () => pictures()[current]?.focus());
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") show(current - 1);
  if (event.key === "ArrowRight") show(current + 1);
});


one("filter").addEventListener("input", apply);
for (const input of [...boxes, one("category"), one("kind"), one("verdicts")]) input?.addEventListener("change", apply);
const fold = () => (one("menu").open = !narrow.matches);
narrow.addEventListener("change", fold);
for (const link of find("a[href^='#']:not(.skip)")) {
  link.addEventListener("click", (event) => {
    fold();
    if (window.self === window.top) return;
    // MLflow shows the page in a frame, where its address cannot change
    event.preventDefault();
    turn(link.hash.slice(1));
  });
}
const bar = document.querySelector(".top");
new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
window.addEventListener("hashchange", follow);
document.documentElement.classList.add("js");
fold();
apply();
follow();
