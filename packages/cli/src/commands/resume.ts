// `hearth resume`: a run goes on from its newest checkpoint.
import { basename, join, posix } from 'node:path'
import { defineCommand } from '../command.js'
import { workerOptions } from '../worker-options.js'
import { UsageError } from '../failure.js'
import type { RunHooks } from '../run-session.js'
import { hostOptions, runOnHosts } from '../hosts/index.js'
import { findRun, locateRun, RUNS_FOLDER } from '../locate.js'
import { ranksOf, rankOptions } from '../rank-options.js'

interface PlaceOptions {
  from: string | undefined
  endpoint: string | undefined
  region: string | undefined
}

/** The folder of the run, and where it is to be brought back from. */
function whereOf(word: string, { from, endpoint, region }: PlaceOptions) {
  const to = from ?? (word.startsWith('s3:') ? word : undefined)
  if (to === undefined) {
    if (endpoint !== undefined || region !== undefined)
      throw new UsageError(['--endpoint and --region say where --from PLACE is; there is none'], 'resume')
    return { dir: locateRun(word), place: undefined }
  }
  const name = word.startsWith('s3:') ? posix.basename(word) : word
  const dir = findRun(name) ?? (name === basename(name) ? join(RUNS_FOLDER, name) : name)
  return { dir, place: { to, endpoint, region } }
}

export const resume = defineCommand({
  name: 'resume',
  summary: 'go on with a run that was stopped',
  description: [
    'Goes on from the newest checkpoint that is whole, with the same bits as if the run had never stopped. A damaged checkpoint is refused, said so, and the one before it is used.',
    'A run that was lost with its machine comes back from one of its copies: give the run’s folder in that place, s3://bucket/prefix/NAME or --from FOLDER/NAME. Its newest whole checkpoint, its tokenizer and its own tokens are fetched and verified, and it goes on in ./runs/NAME with the same bits. A run that has lost only its checkpoints fetches the newest from its copies by itself. Credentials for object storage come from the environment or ~/.aws.',
    'With --set, what does not decide the steps already done can change: steps (a longer or a shorter run), every.*, keepCheckpoints, copies, evaluateTokens, samplePrompt and name. Anything else is refused, all of it at once, and the run is left as it was. The learning rate of the steps to come follows the schedule for the new number of steps; a finished run goes on too, and its model so far is kept beside the new one. The change is written to the run’s config.json.',
  ],
  arguments: {
    run: { description: 'folder of a run, or its name in ./runs; or s3://bucket/prefix/NAME', required: true },
  },
  options: {
    from: {
      kind: 'text',
      value: 'PLACE',
      description: 'bring the run back from its copy there first: a folder, or s3://bucket/prefix/NAME',
    },
    endpoint: {
      kind: 'text',
      value: 'URL',
      description: 'address of the server of that place, when it is not AWS',
    },
    region: { kind: 'text', value: 'NAME', description: 'region of the bucket of that place' },
    set: {
      kind: 'list',
      value: 'PATH=VALUE',
      description: 'change a field that the steps already done do not depend on',
    },
    ...workerOptions,
    ...rankOptions,
    ...hostOptions,
    json: { kind: 'flag', description: 'print the result as JSON' },
  },
  examples: [
    { line: 'hearth resume runs/spark', does: 'Go on where it stopped' },
    { line: 'hearth resume s3://my-bucket/runs/spark', does: 'Go on with a lost run on a new machine, from its copy' },
    { line: 'hearth resume runs/spark --set steps=2000 --set every.sample=100', does: 'Train further, with samples' },
  ],
  async run({ arguments: { run: word }, options, terminal }) {
    if (options.hosts !== undefined && options.set.length > 0)
      throw new UsageError(
        ['--set does not go with --hosts: change the run first, with hearth resume --set alone'],
        'resume',
      )
    const { dir, place } = whereOf(word, options)
    const ranks = ranksOf(options, 'resume')
    const { applySettings } = await import('../settings.js')
    const { restoreRun, resumeRun } = await import('hearth/train')
    const { printResult, watchRun, workersOf } = await import('../run-session.js')
    const change = (config: object) => applySettings(config, options.set, 'resume')
    const goOn = async (hooks: RunHooks) => {
      if (place !== undefined) await restoreRun(place, dir, hooks)
      if (options.hosts !== undefined)
        return await runOnHosts(dir, 'resume', { ...options, hosts: options.hosts }, hooks)
      return await resumeRun(dir, { ...hooks, change, ...workersOf(options), ...ranks })
    }
    const guarded = { dir, workers: options, ranks: options.ranks !== undefined }
    const result = await watchRun(terminal, goOn, options.hosts === undefined ? guarded : undefined)
    if (options.json) terminal.json(result)
    else printResult(terminal, result)
  },
})
