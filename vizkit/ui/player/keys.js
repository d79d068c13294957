/** What the keys do, beside those of the controls themselves. */

/** What a key does in a player, or null; `onControl`: a control has the focus, which keeps its own keys. */
export function actionOf(player, event, onControl) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (event.key === "?") return () => player.view.sheet.showModal();
  if (event.key.toLowerCase() === "o") return () => player.change({ bare: true });
  if (onControl) return null;
  if (event.shiftKey && event.key.startsWith("Arrow")) return () => player.moveAim(event.key);
  if (/^[1-9]$/.test(event.key)) return () => player.toggle(Number(event.key));
  const last = player.figure.frames.length - 1;
  const actions = {
    " ": () => player.setPlaying(!player.state.playing),
    ArrowLeft: () => player.step(-1),
    ArrowRight: () => player.step(1),
    Home: () => player.seek(0),
    End: () => player.seek(last),
    Enter: () => player.state.aim && player.pick(player.current(), player.state.aim.x, player.state.aim.y),
  };
  return actions[event.key] || null;
}
