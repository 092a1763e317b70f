// Keeps what is marked as live up to date: asks for it again every two seconds while somebody looks, and puts it in if it is another.
"use strict";
const live = document.getElementById("live");
let tag = "";

async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch(live.dataset.from, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    document.body.classList.toggle("away", !(answer.ok || answer.status === 304));
    if (!answer.ok) return;
    tag = answer.headers.get("ETag") || "";
    const html = await answer.text();
    // What is being pressed or read with the keyboard stays where it is.
    const focused = live.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && (focused.getAttribute("href") || focused.tagName);
    live.innerHTML = html;
    if (place) {
      const again = [...live.querySelectorAll("a, button")].find((each) => (each.getAttribute("href") || each.tagName) === place);
      if (again) again.focus({ preventScroll: true });
    }
  } catch {
    document.body.classList.add("away");
  }
}

if (live) {
  const loop = async () => {
    await renew();
    setTimeout(loop, 2000);
  };
  setTimeout(loop, 2000);
  document.addEventListener("visibilitychange", renew);
}
