/** Everything that a page of your own may want, at the stable address `/mavis.js`. */

export { Mavis } from "./client.js";
export { ConnectionLostError, MavisError } from "./errors.js";
export { MavisSlider } from "./slider.js";
export { MavisWeights } from "./weights.js";
