// Renews the page every ten seconds while it is looked at, and says so when the agent no longer answers.
// Without it the page works just the same: <noscript> renews it every thirty.
"use strict";
(() => {
  const EVERY_MS = 10_000;
  const GIVE_UP_MS = 8_000;
  const busy = () => {
    const focus = document.activeElement;
    const choosing = String(getSelection()) !== "";
    return document.hidden || choosing || (focus && /^(INPUT|BUTTON|SELECT|TEXTAREA)$/.test(focus.tagName));
  };
  const renew = async () => {
    if (busy()) return;
    let fresh;
    try {
      const answer = await fetch(location.href, {
        headers: { accept: "text/html" },
        credentials: "same-origin",
        signal: AbortSignal.timeout(GIVE_UP_MS),
      });
      if (!answer.ok) throw new Error(String(answer.status));
      fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      document.body.classList.add("stale");
      return;
    }
    document.body.classList.remove("stale");
    document.title = fresh.title;
    document.getElementById("asof").replaceWith(fresh.getElementById("asof"));
    const [old, next] = [document.getElementById("main"), fresh.getElementById("main")];
    if (busy() || !next || old.innerHTML === next.innerHTML) return;
    const open = [...old.querySelectorAll("details[open][id]")].map((part) => part.id);
    const links = [...old.querySelectorAll("a, summary, [tabindex]")];
    const focused = links.indexOf(document.activeElement);
    old.replaceChildren(...next.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused >= 0) old.querySelectorAll("a, summary, [tabindex]")[focused]?.focus({ preventScroll: true });
  };
  setInterval(renew, EVERY_MS);
  document.addEventListener("visibilitychange", renew);
})();
