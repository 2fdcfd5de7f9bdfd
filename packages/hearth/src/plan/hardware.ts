// What a plan knows of a device, and a catalogue of them that a person can edit: JSON or YAML, one entry a device.
import { readFileSync } from 'node:fs'
import { ConfigError, FormatError, HearthError } from '@hearth/torch'
import { closest } from 'fastest-levenshtein'
import { parse } from 'yaml'
import { z } from 'zod'
import { catalogue } from './catalogue.js'

const positive = z.number('expected a number').positive('must be above 0')

const hardwareSchema = z.strictObject({
  kind: z
    .enum(['accelerator', 'processor'])
    .optional()
    .describe('a processor trains in its own memory, as Hearth does; an accelerator when not given'),
  arithmetic: z.enum(['bfloat16', 'float32']).optional().describe('numbers of a step; bfloat16 when not given'),
  peak: positive.describe('TFLOP/s of dense matrix products in the arithmetic of training'),
  memory: positive.describe('GiB of a device'),
  bandwidth: positive.describe('GB/s of that memory'),
  link: positive.describe('GB/s from a device to the others of its machine'),
  network: positive.describe('GB/s from a machine to the others'),
  perMachine: z.int('expected a whole number').positive('must be above 0').describe('devices of a machine'),
  hostMemory: positive.describe('GiB of a machine besides that of its devices'),
  hostLink: positive.describe('GB/s between a device and that memory'),
  watts: positive.describe('of a device at work'),
  efficiency: positive.max(1, 'is a share: at most 1').describe('share of the peak that training reaches'),
  price: positive.describe('of a device for an hour').optional(),
  priceBasis: z.string().describe('what the price includes, and where it is from').optional(),
})

/** Units are in the schema. */
export type Hardware = z.infer<typeof hardwareSchema>

/** What each field means, for documentation. */
export const hardwareFields: readonly (readonly [name: string, description: string])[] = Object.entries(
  hardwareSchema.shape,
).map(([name, field]) => [name, field.description ?? ''] as const)

/**
 * A catalogue from a person's file, with ours behind it: an entry of a known name changes only what it gives.
 * @throws ConfigError with everything that is wrong in it; FormatError when it is no JSON or YAML
 */
export function readCatalogue(path: string): Record<string, Hardware> {
  let read: unknown
  try {
    read = parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== undefined && 'syscall' in (cause as object)) throw cause
    throw new FormatError(`${path} is not YAML or JSON: ${(cause as Error).message}`, { cause })
  }
  if (typeof read !== 'object' || read === null || Array.isArray(read))
    throw new FormatError(`${path} is no catalogue: expected an object of devices by name`)
  const entries = Object.entries(read as Record<string, unknown>)
  const issues: { path: string; message: string }[] = []
  const found: Record<string, Hardware> = { ...catalogue }
  for (const [name, entry] of entries) {
    const base = Object.hasOwn(catalogue, name) ? catalogue[name] : {}
    const given = typeof entry === 'object' && entry !== null ? { ...base, ...entry } : entry
    const checked = hardwareSchema.safeParse(given)
    if (checked.success) found[name] = checked.data
    else
      for (const { path: at, message } of checked.error.issues) issues.push({ path: [name, ...at].join('.'), message })
  }
  if (issues.length > 0) throw new ConfigError(path, issues)
  return found
}

/**
 * A device by its name.
 * @throws HearthError with the nearest when there is none
 */
export function findHardware(name: string, devices: Readonly<Record<string, Hardware>> = catalogue): Hardware {
  const found = Object.hasOwn(devices, name) ? devices[name] : undefined
  if (found !== undefined) return found
  const names = Object.keys(devices)
  throw new HearthError(`there is no hardware ${JSON.stringify(name)}; did you mean ${closest(name, names)}?`, {
    remedy: `known are ${names.join(', ')} and this-machine; --catalogue FILE adds your own`,
  })
}
