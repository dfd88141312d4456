// Served by `newsletter preview`: load the page anew when it would be another one.
if (document.body.dataset.stamp) setInterval(async () => {
  try {
    const answer = await fetch("stamp", {cache: "no-store"});
    if (answer.ok && await answer.text() !== document.body.dataset.stamp) location.reload();
  } catch {}
}, 1000);
