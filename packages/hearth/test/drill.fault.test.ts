// The promise of the product, in small: whatever happens to the workers and their supervisor, the weights have the same
// bits. A hundred faults here; a long campaign is `hearth drill --faults 1000`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { drill, FAULT_MEANINGS } from 'hearth/train'

const SECONDS = 300

test.each([
  [[1, 4], 10],
  [[2], 80],
])(
  'with %j workers and %i faults the weights have the bits of an undisturbed run',
  async (workers, faults) => {
    const folder = mkdtempSync(join(tmpdir(), 'hearth-drill-'))
    try {
      const report = await drill({ workers, faults, seed: 7, folder })
      expect(report.sameBits).toBe(true)
      for (const { had, stepsLost, rows } of report.crews) {
        // A fault that strikes a worker which is gone already is waited for some steps; the run may end before the last.
        expect(had).toBeGreaterThan(0.5 * faults)
        expect(stepsLost).toBe(0)
        if (faults > 20) expect(rows.map(({ kind }) => kind)).toEqual(Object.keys(FAULT_MEANINGS))
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
  SECONDS * 1000,
)
