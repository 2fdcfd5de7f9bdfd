// The tasks that ship with Hearth against rows written by hand, and files that are wrong.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import rows from '../../../test/task-rows.json' with { type: 'json' }
import { chooseTasks, defineTask, ownTaskNames, readTaskFile } from '../index.js'
import { Questions, type Row } from './questions.js'
import { splitFiles } from './task-data.js'

const folder = mkdtempSync(join(tmpdir(), 'hearth-tasks-'))
afterAll(() => rmSync(folder, { recursive: true }))
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const own = chooseTasks(ownTaskNames())
const ask = (name: keyof typeof rows, shots = 0, at = 0) => {
  const some: readonly Row[] = rows[name]
  const questions = new Questions(own.tasks.get(name)!, some, some, 1234)
  return { context: questions.context(some[at]!, shots), ...questions.read(some[at]!) }
}

describe('tasks that ship with Hearth', () => {
  test('are all sound: ten, and the 57 subjects of MMLU in their groups', () => {
    expect(own.tasks.size).toBe(67)
    expect(own.groups.get('mmlu')!.members).toHaveLength(4)
    expect(chooseTasks(['mmlu_stem']).tasks.size).toBe(19)
    expect([...chooseTasks(['lambada']).tasks.keys()]).toEqual(['lambada_openai', 'lambada_standard'])
  })

  test('ask what the harness asks', () => {
    expect(ask('arc_easy')).toEqual({
      context: 'Question: Which of these gives light of its own?\nAnswer:',
      text: 'Question: Which of these gives light of its own?\nAnswer:',
      target: 1,
      choices: ['the Moon', 'the Sun', 'a mirror'],
    })
    expect(ask('hellaswag')).toMatchObject({
      context: 'Baking bread: A man kneads the dough. Then he. he',
      target: 0,
      choices: ['puts it into the oven.', 'paints a fence.', 'sells. the car', 'swims away'],
    })
    expect(ask('piqa')).toMatchObject({ context: 'Question: To cool soup,\nAnswer:', target: 0 })
    expect(ask('sciq')).toMatchObject({
      context: 'Bees carry pollen.\nQuestion: What do bees carry?\nAnswer:',
      target: 3,
    })
    expect(ask('winogrande')).toMatchObject({
      context: ['Ann thanked Bo because Ann', 'Ann thanked Bo because Bo'],
      text: 1,
      target: 'had helped.',
    })
    expect(ask('lambada_openai')).toMatchObject({ context: 'she looked for the key and found the', target: ' key' })
    expect(ask('mmlu_high_school_physics')).toMatchObject({
      context:
        'The following are multiple choice questions (with answers) about high school physics.\n\n' +
        'What falls faster in a vacuum?\nA. a feather\nB. a stone\nC. neither\nD. a leaf\nAnswer:',
      target: 2,
      choices: ['A', 'B', 'C', 'D'],
    })
    expect(ask('wikitext').target).toBe(
      ' = Fox =\n\nThe "quick" fox (red) ran 1,000 miles. == Den ==\nIt\'s 5°C-cold\n',
    )
    expect(ask('gsm8k', 1).context).toBe(
      'Question: Bo had 4 eggs and ate 1. How many are left?\nAnswer: 4 - 1 = 3\n#### 3\n\n' +
        'Question: Ann has 2 pens and buys 3. How many?\nAnswer:',
    )
  })
})

describe('examples', () => {
  const task = (more: string) => {
    const text = `task: t\ndataset_path: x\ntest_split: test\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: a\ndoc_to_choice: [no, yes]\n${more}`
    return defineTask(readTaskFile(write('t.yaml', text)))
  }
  const some = Array.from({ length: 6 }, (_, i) => ({ q: `q${i}`, a: i % 2 }))

  test('come from Python’s sample with the seed, without the question itself where they share a split', () => {
    const apart = new Questions(task('fewshot_split: train'), some, some, 1234)
    // random.Random(1234).sample(range(6), 2) is [3, 0]
    expect(apart.context(some[0]!, 2)).toBe('q3 yes\n\nq0 no\n\nq0')
    const shared = new Questions(task('fewshot_split: test'), some, some, 1234)
    // random.Random(1234).sample(range(6), 3) is [3, 0, 4]
    expect(shared.context(some[0]!, 2)).toBe('q3 yes\n\nq4 no\n\nq0')
    expect(() => shared.context(some[0]!, 6)).toThrow(/6 examples are wanted, and there are 6/)
  })

  test('may be the first, have texts of their own, a prefix of the answer and other delimiters', () => {
    const more =
      'fewshot_split: train\nfewshot_config: { sampler: first_n, doc_to_text: "{{q}}?", fewshot_delimiter: "; " }'
    expect(new Questions(task(more), some, some, 1).context(some[3]!, 2)).toBe('q0? no; q1? yes; q3')
    const prefix =
      'fewshot_split: train\nfewshot_config: { sampler: first_n }\ngen_prefix: "A:"\ndescription: "{{q}}! "'
    expect(new Questions(task(prefix), some, some, 1).context(some[3]!, 1)).toBe('q3! q0 A: no\n\nq3 A:')
  })
})

describe('what is wrong', () => {
  test('Python in a task is named and not run', () => {
    const file = write(
      'f.yaml',
      'task: f\nprocess_docs: !function utils.process_docs\nmetric_list:\n  - metric: !function m.f',
    )
    expect(() => readTaskFile(file)).toThrow(
      /calls Python, which is not run here:\n {2}process_docs: !function utils\.process_docs\n {2}metric_list\.0\.metric: !function m\.f/,
    )
  })

  test('all mistakes of a file come at once', () => {
    const file = write(
      'w.yaml',
      'task: w\ndataset_path: 3\ntest_splitt: a\noutput_type: multiple_choices\ndoc_to_text: a\ndoc_to_target: b',
    )
    expect(() => defineTask(readTaskFile(file))).toThrow(
      /3 problems[^]*dataset_path: [^]*output_type: [^]*test_splitt: [^]*nearest is test_split/,
    )
    const sound = 'task: w\ndataset_path: a\ndoc_to_text: a\ndoc_to_target: b\n'
    const second = write(
      'v.yaml',
      `${sound}metric_list: [{ metric: bleu }, { metric: exact_match, aggregation: bits_per_byte, regexes_to_ignore: ["("] }]\nfilter_list: [{ name: n, filter: [{ function: regexx }, { function: regex, pattern: a }] }]`,
    )
    expect(() => defineTask(readTaskFile(second))).toThrow(
      /6 problems[^]*is bleu; generate_until has exact_match[^]*bits_per_byte, which is not for[^]*no regular expression[^]*is regexx; known are[^]*no field of regex[^]*test_split: is missing/,
    )
  })

  test('files that are none, names that nothing has, circles', () => {
    expect(() => readTaskFile(join(folder, 'nowhere.yaml'))).toThrow(/nowhere\.yaml: cannot be read/)
    expect(() => readTaskFile(write('y.yaml', 'a: [1'))).toThrow(/y\.yaml: is no YAML/)
    expect(() => readTaskFile(write('l.yaml', '- a'))).toThrow(/holds no fields/)
    expect(() => readTaskFile(write('c.yaml', 'include: c.yaml'))).toThrow(/includes go in a circle/)
    expect(() => chooseTasks(['arc_esay', 'zzzzzzzz'])).toThrow(
      /arc_esay: is no task; did you mean arc_easy\?\n {2}zzzzzzzz: is no task/,
    )
    expect(() => chooseTasks([write('n.yaml', 'dataset_path: a')])).toThrow(/names no task/)
  })

  test('a template that names what the row does not have, or is no Jinja', () => {
    const given = (text: string) => {
      const task = defineTask(
        readTaskFile(
          write('j.yaml', `task: j\ndataset_path: x\ntest_split: t\ndoc_to_target: a\ndoc_to_text: "${text}"`),
        ),
      )
      return () => new Questions(task, [{ a: 'b' }], [], 1).context({ a: 'b' }, 0)
    }
    expect(given('{{a}} {{query}}')).toThrow(
      /j\.yaml: doc_to_text: names query, which the row does not have \(it has a\)/,
    )
    expect(given('{{a')).toThrow(/j\.yaml: doc_to_text: /)
    expect(given('{% for x in range(1000000000) %}{{x}}{% endfor %}')).toThrow(/bounds of time and memory/)
    expect(given('{% set n = a.upper() %}{{n}}\\n')()).toBe('B\n')
  })
})

test('files of a split are those that the card names, else those named for it', () => {
  const all = ['README.md', 'data/train-0.parquet', 'data/test-0.parquet', 'data/test-1.parquet', 'extra/latest.jsonl']
  expect(splitFiles(all, '', undefined, 'test')).toEqual(['data/test-0.parquet', 'data/test-1.parquet'])
  expect(splitFiles(['main/test-0.parquet', 'socratic/test-0.parquet'], '', 'main', 'test')).toEqual([
    'main/test-0.parquet',
  ])
  expect(splitFiles(['plain/test/0000.parquet', 'plain/train/0000.parquet'], '', 'plain', 'test')).toEqual([
    'plain/test/0000.parquet',
  ])
  const card = '---\nconfigs:\n- config_name: de\n  data_files:\n  - split: test\n    path: extra/*\n---\ntext'
  expect(splitFiles(all, card, 'de', 'test')).toEqual(['extra/latest.jsonl'])
  expect(splitFiles(['test.jsonl', 'train.jsonl'], 'no head', undefined, 'test')).toEqual(['test.jsonl'])
})
