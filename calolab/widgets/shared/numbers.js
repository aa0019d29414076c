// Numbers, quantities and counts as text.

/** A number with `digits` significant digits in the notation of physics: 12.3, 0.045, 3.1×10⁻⁵.
 *
 * @param {number} value
 */
export function number(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  // Rounded first: 999.6 has four digits, and toPrecision(3) would write it as 1.00e+3.
  const rounded = Math.abs(Number(value.toPrecision(digits)));
  if (rounded >= 1e-2 && size < 1e5)
    return withMinus(rounded < 10 ** digits ? value.toPrecision(digits) : value.toFixed(0));
  return scientific(value, digits);
}

/** A number in scientific notation.
 *
 * @param {number} value
 * @param {number} digits
 */
function scientific(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${withMinus(mantissa)}×10${superscript(Number(exponent))}`;
}

/** A number with one digit and its power of ten, without the digit if it is 1: 5×10⁻³, 10⁻².
 *
 * @param {number} value
 */
export function powerOfTen(value) {
  return scientific(value, 1).replace(/^1×/, "");
}

/** A text with a minus sign instead of a hyphen.
 *
 * @param {string} text
 */
export function withMinus(text) {
  return text.replace("-", "−");
}

/** An integer in superscript digits.
 *
 * @param {number} exponent
 */
export function superscript(exponent) {
  return String(exponent).replace(/./g, (digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]));
}

/** A value with its unit, if it has one.
 *
 * @param {number} value
 * @param {string} unit
 */
export function amount(value, unit, digits = 3) {
  return `${number(value, digits)} ${unit}`.trim();
}

/** A count with its noun: "1 event", "2,000 events".
 *
 * @param {number} count
 * @param {string} noun
 */
export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A mean with its error, both to the second digit of the error: 52.50 ± 0.30.
 *
 * @param {number} mean
 * @param {number} error
 */
export function measured(mean, error) {
  if (!(error > 0) || !Number.isFinite(mean)) return number(mean, 4);
  const decimals = Math.max(1 - Math.floor(Math.log10(error)), 0);
  if (decimals > 6) return `${number(mean, 3)} ± ${number(error, 2)}`;
  return withMinus(`${mean.toFixed(decimals)} ± ${error.toFixed(decimals)}`);
}

/** The title of an axis or of a row of a table, "energy [GeV]"; without brackets if it has no unit.
 *
 * @param {string} text
 * @param {string} unit
 */
export function withUnit(text, unit) {
  return unit ? `${text} [${unit}]` : text;
}
