// Numbers as people read them: bytes, counts, times. Files and --json keep the exact ones.

const scaled = (value: number, base: number, units: readonly string[]): string => {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log(Math.max(1, value)) / Math.log(base))))
  const shown = value / base ** power
  return `${power === 0 ? String(Math.round(shown)) : shown.toFixed(shown < 10 ? 2 : shown < 100 ? 1 : 0)}${units[power]!}`
}

/** 1536 → `1.50 KiB`. */
export const formatBytes = (bytes: number): string => scaled(bytes, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB'])

/** 124_439_808 → `124M`. */
export const formatCount = (count: number): string => scaled(count, 1000, ['', 'k', 'M', 'B', 'T'])

/** 3725 → `1 h 02 min`, 125 → `2 min 05 s`, 7.3 → `7 s`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  const whole = Math.round(seconds)
  const two = (value: number) => String(value).padStart(2, '0')
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`
}
