// From vitest's JSON report to the three numbers that are printed. Whatever made the run fail counts as a failure even
// where no test carries it: a file that does not load, a crashed worker, an error outside any test, no test at all.

/**
 * @param {object | undefined} report vitest's JSON report; undefined when it wrote none
 * @param {number} exitCode vitest's exit code
 * @returns {{ passed: number, failed: number, skipped: number }}
 */
export function countTests(report, exitCode) {
  const files = report?.testResults ?? []
  const tests = files.flatMap((file) => file.assertionResults)
  const count = (...states) => tests.filter(({ status }) => states.includes(status)).length
  const broken = files.filter((file) => file.status === 'failed' && !file.assertionResults.some(isFailed)).length
  const passed = count('passed')
  const failed = count('failed') + broken
  const isFailure = exitCode !== 0 || passed + failed === 0
  return { passed, failed: isFailure ? Math.max(failed, 1) : failed, skipped: count('skipped', 'pending', 'todo') }
}

const isFailed = ({ status }) => status === 'failed'

/** @param {{ passed: number, failed: number, skipped: number }} counts */
export function countsLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}
