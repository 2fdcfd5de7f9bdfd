// Numbers as people write large ones: 300B tokens, 1.4T, 4M.

const SCALES: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, b: 1e9, g: 1e9, t: 1e12 }

/** `300B` → 3e11; undefined when it is no such number. */
export function parseQuantity(text: string): number | undefined {
  const [, digits, scale] =
    /^\s*(\d+(?:\.\d+)?(?:e\d{1,3})?)\s*([kmbgt]?)\s*$/i.exec(text.replaceAll(/[_,]/g, '')) ?? []
  return digits === undefined ? undefined : Number(digits) * SCALES[scale!.toLowerCase()]!
}
