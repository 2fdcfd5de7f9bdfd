// A job for Slurm: a batch script that has one member on each node, starts again those that are lost while their node
// lives, and has Slurm queue the job once more when it was stopped before the run's end. Not here: submitting it.
import { memberWords, type Job } from './job.js'

export interface SlurmOptions {
  /** Folder of the job, absolute, on storage that all nodes share. */
  folder: string
  /** Where the job was made: relative paths of the configuration start there. */
  cwd: string
  /** What runs `hearth` on a node. */
  command: readonly string[]
  /** Whether there is a configuration in the folder, of a run to be made. */
  makes: boolean
  time: string | undefined
  partition: string | undefined
  account: string | undefined
  /** More options for sbatch, as `--qos=long`. */
  more: readonly string[]
}

/** Files in the folder of a job. */
export const SLURM_FILES = { script: 'job.sh', config: 'config.json' } as const

/** For bash. */
const quoted = (word: string) => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)

function directives(job: Job, options: SlurmOptions): string[] {
  const { folder, time, partition, account, more } = options
  return [
    `--job-name=${job.name}`,
    `--nodes=${job.machines}`,
    '--ntasks-per-node=1',
    ...(job.cpus === undefined ? [] : [`--cpus-per-task=${job.cpus}`]),
    ...(job.memory === undefined ? [] : [`--mem=${job.memory}`]),
    ...(time === undefined ? [] : [`--time=${time}`]),
    ...(partition === undefined ? [] : [`--partition=${partition}`]),
    ...(account === undefined ? [] : [`--account=${account}`]),
    `--output=${folder}/log-%j.txt`,
    // A start after the first writes on where the last one ended.
    '--open-mode=append',
    // Again when the node of this script fails or the job is preempted; a lost node of the others does not end it.
    '--requeue',
    '--no-kill',
    `--signal=USR1@${job.grace}`,
    ...more,
  ]
}

/** A secret, the addresses of the nodes, and how to wait while signals come. */
const preamble = (folder: string) => String.raw`
# A secret for this start of the job alone, in a file that only its owner can read.
secret=${quoted(folder)}/secret-$SLURM_JOB_ID
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$secret"
trap 'rm -f "$secret"' EXIT
# The members hear these for themselves; this script waits until they have saved.
trap : TERM USR1
# Steps of newer Slurms do not take it over from the job.
[ -n "${'$'}{SLURM_CPUS_PER_TASK-}" ] && export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

# Every node as name=address, for the members to meet.
hosts=$(scontrol show node --oneliner "$SLURM_JOB_NODELIST" |
  sed -E 's/^NodeName=([^ ]+) .*NodeAddr=([^ ]+) .*/\1=\2/' | paste -sd, -)

# Waits for a process through signals; its exit code is in code.
await() {
  wait "$1"
  code=$?
  while kill -0 "$1" 2> /dev/null; do
    wait "$1"
    code=$?
  done
}
`

/** One member on each node, started again when it is lost. */
const keepMembers = (line: string) => String.raw`
# One node: its member, once more when it is lost. 0: the run is done; 1, 2: refused; 75: stopped, to be started again;
# 143: the job is being ended.
keep() {
  local code
  trap : TERM USR1
  for _ in 1 2 3 4; do
    srun --nodes=1 --ntasks=1 --nodelist="$1" --overlap \
      ${line} --self "$1" &
    await $!
    case $code in 0 | 1 | 2 | 75 | 143) break ;; esac
    echo "the member on $1 ended with $code"
    sleep 2
  done
  return "$code"
}

pids=()
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
  keep "$node" &
  pids+=($!)
done
codes=()
for pid in "${'$'}{pids[@]}"; do
  await "$pid"
  codes+=("$code")
done
echo "the members ended with ${'$'}{codes[*]}"
`

/** What becomes of the job. */
const ENDING = String.raw`
grep -qs '"state": "finished"' "$run/status.json" && exit 0
for code in "${'$'}{codes[@]}"; do
  if [ "$code" -eq 75 ]; then
    echo 'stopped before the end of the run: the job is queued again'
    scontrol requeue "$SLURM_JOB_ID"
    exit 75
  fi
done
exit "$(printf '%s\n' "${'$'}{codes[@]}" | sort -n | tail -1)"
`

/** The batch script. */
export function slurmScript(job: Job, options: SlurmOptions): string {
  const { folder, cwd, command, makes } = options
  const files = { config: makes ? `${folder}/${SLURM_FILES.config}` : undefined, secret: '"$secret"' }
  const words = memberWords(job, '"$hosts"', files).map((word) => (word.startsWith('"$') ? word : quoted(word)))
  const begin = [
    '#!/bin/bash',
    ...directives(job, options).map((line) => `#SBATCH ${line}`),
    '',
    `# Written by \`hearth launch slurm\`: the run ${job.name} on ${job.machines} nodes. Submit it with sbatch.`,
    'set -u',
    'umask 077',
    `cd ${quoted(cwd)} || exit 1`,
    `run=${quoted(job.run)}\n`,
  ]
  return begin.join('\n') + preamble(folder) + keepMembers([...command.map(quoted), ...words].join(' ')) + ENDING
}
