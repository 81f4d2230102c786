/**
 * How a slider looks. Colours and font come from custom properties of the page around it, with defaults for light
 * and dark; every piece is also a `::part`. A constructed sheet, because a strict Content-Security-Policy forbids
 * `<style>`.
 */

export const sliderSheet = new CSSStyleSheet();
sliderSheet.replaceSync(`
:host {
  --_seek: var(--mavis-seek, light-dark(#0b6e66, #58c7b7));
  --_avoid: var(--mavis-avoid, light-dark(#a8451c, #f09a6c));
  --_ink: var(--mavis-ink, light-dark(#22201c, #ece8e1));
  --_muted: var(--mavis-muted, light-dark(#68635a, #a8a196));
  --_line: var(--mavis-line, light-dark(#d8d3c8, #45423b));
  --_surface: var(--mavis-surface, light-dark(#fff, #201f1c));
  color: var(--_ink);
  display: block;
  font: var(--mavis-font, 500 .875rem/1.3 system-ui, sans-serif);
  min-width: 9rem;
}
:host([hidden]) { display: none; }
[part=head] { align-items: baseline; display: flex; gap: .5rem; justify-content: space-between; }
[part=label] { overflow-wrap: anywhere; }
[part=value] {
  appearance: textfield;
  background: transparent;
  border: 1px solid transparent;
  border-radius: .3rem;
  box-sizing: content-box;
  color: inherit;
  font: inherit;
  font-variant-numeric: tabular-nums;
  inline-size: 3.4em;
  margin: -.15rem -.35rem;
  padding: .1rem .3rem;
  text-align: end;
}
[part=value]::-webkit-inner-spin-button { display: none; }
[part=value]:hover { border-color: var(--_line); }
:host([data-sign="1"]) [part=value] { color: var(--_seek); }
:host([data-sign="-1"]) [part=value] { color: var(--_avoid); }
[part=track] { block-size: 1.5rem; cursor: pointer; position: relative; touch-action: pan-y; }
[part=rail], [part=fill] { block-size: 4px; border-radius: 2px; inset-block-start: calc(50% - 2px); position: absolute; }
[part=rail] { background: var(--_line); inset-inline: 0; overflow: hidden; }
[part=negative] {
  background: repeating-linear-gradient(115deg, var(--_avoid) 0 2px, transparent 2px 5px);
  block-size: 100%;
  inline-size: calc(var(--zero) * 100%);
  opacity: .55;
}
[part=fill] {
  background: var(--_seek);
  inset-inline: calc(min(var(--at), var(--zero)) * 100%) calc((1 - max(var(--at), var(--zero))) * 100%);
}
:host([data-sign="-1"]) [part=fill] { background: var(--_avoid); }
[part=zero] {
  background: var(--_muted);
  block-size: .75rem;
  inline-size: 1px;
  inset-block-start: calc(50% - .375rem);
  inset-inline-start: calc(var(--zero) * 100%);
  position: absolute;
}
[part=thumb] {
  background: var(--_surface);
  block-size: 1rem;
  border: 2px solid var(--_muted);
  border-radius: 50%;
  box-shadow: 0 1px 3px rgb(0 0 0 / .18);
  box-sizing: border-box;
  inline-size: 1rem;
  inset-block-start: calc(50% - .5rem);
  inset-inline-start: calc(var(--at) * 100% - .5rem);
  position: absolute;
}
:host([data-sign="1"]) [part=thumb] { background: var(--_seek); border-color: var(--_seek); }
:host([data-sign="-1"]) [part=thumb] { background: var(--_avoid); border-color: var(--_avoid); }
:focus-visible { outline: 2px solid var(--_seek); outline-offset: 2px; }
[part=scale] {
  color: var(--_muted);
  display: flex;
  font-size: .75em;
  font-variant-numeric: tabular-nums;
  justify-content: space-between;
  margin-block-start: -.15rem;
}
:host([compact]) [part=scale], :host([data-fixed]) [part=scale], [part=description]:empty { display: none; }
:host([data-fixed]) :is([part=track], [part=thumb]) { cursor: default; }
:host([data-fixed]) [part=thumb] { background: var(--_line); border-color: var(--_muted); }
[part=said] { color: var(--_avoid); font-size: .8125em; font-weight: 400; margin: 0; }
:host([data-fixed]) [part=said] { color: var(--_muted); }
[part=description] { color: var(--_muted); font-size: .8125em; font-weight: 400; margin: .15rem 0 0; }
:host([disabled]) { opacity: .55; pointer-events: none; }
@media (forced-colors: active) { [part=thumb], [part=fill] { background: Highlight; forced-color-adjust: none; } }
`);
