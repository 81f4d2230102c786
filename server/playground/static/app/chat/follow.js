/** Keeps the end of a growing conversation in sight, until the reader scrolls away; back at the end, it follows again. */

const NEAR = 24; // pixels from the end that still count as being there

/** @param {HTMLElement} scroller which scrolls, or the page where that does not @param {HTMLElement} content */
export function follower(scroller, content) {
  let following = true;
  let lastTop = 0;
  let box = /** @type {Element} */ (scroller);
  const find = () => {
    box = getComputedStyle(scroller).overflowY === "visible" ? (document.scrollingElement ?? scroller) : scroller;
  };
  addEventListener("resize", find);
  const follow = () => box.scrollTo({ top: box.scrollHeight, behavior: "instant" });
  const toEnd = () => {
    find();
    follow();
  };

  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = box;
    if (scrollTop + clientHeight >= scrollHeight - NEAR) following = true;
    else if (scrollTop < lastTop) following = false;
    lastTop = scrollTop;
  };
  scroller.addEventListener("scroll", onScroll, { passive: true });
  document.addEventListener("scroll", onScroll, { passive: true });
  let running = false;
  new ResizeObserver(() => running && following && follow()).observe(content);

  return {
    /** An answer begins: its question is in sight. */
    begin() {
      [running, following] = [true, true];
      toEnd();
    },
    end() {
      if (following) toEnd();
      running = false;
    },
    toEnd,
  };
}
