// A small model here against its own logits read one by one, and the rules that cut texts; endpoints that fail.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { noGrad, tensor } from '@hearth/torch'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Tokenizer } from '../../data/index.js'
import { trainByteLevelBpe } from '../../data/index.js'
import { createModel, logits, type LanguageModel } from '../../models/index.js'
import { EndpointModel } from './endpoint-model.js'
import { encodePair, rollingPairs } from './evaluated-model.js'
import { LocalModel } from './local-model.js'

let tokenizer: Tokenizer
let model: LanguageModel
beforeAll(async () => {
  tokenizer = await trainByteLevelBpe(['the key and the key and the door and the sea '.repeat(40)], { vocabSize: 290 })
  const shape = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 }
  model = createModel({ model_type: 'llama', vocab_size: 290, max_position_embeddings: 48, ...shape }, { seed: 3 })
})

/** Libraries' products give rows other bits beside other rows. */
const byLibrary =
  ['reference', 'baseline'].includes(process.env.HEARTH_KERNELS ?? '') || process.env.HEARTH_GEMM === 'library'

/** log p of each token but the first, in float64 from logits that are read for that text alone. */
function logprobsOf(ids: number[]): number[] {
  return ids.slice(1).map((next, i) => {
    const row = noGrad(() =>
      logits(model, tensor([ids.slice(0, i + 1)], { dtype: 'int64' }), { lastOnly: true }).toArray(),
    )
    const top = Math.max(...row)
    return row[next]! - top - Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0))
  })
}
const sum = (some: number[]) => some.reduce((all, x) => all + x, 0)
const local = (batchSize: number) => new LocalModel({ name: 'small', model, tokenizer, batchSize })

describe('what is given and what is scored', () => {
  test('white space between them is scored, with the tokens that the whole has', () => {
    const ids = [...tokenizer.encode('the key and')]
    const before = [...tokenizer.encode('the key')]
    for (const [context, continuation] of [
      ['the key', ' and'],
      ['the key ', 'and'],
    ] as const) {
      const pair = encodePair(tokenizer, { context, continuation })
      expect([[...pair.context], [...pair.continuation]]).toEqual([before, ids.slice(before.length)])
    }
  })

  test('an empty context is the token between texts, once', () => {
    const end = tokenizer.endOfText!
    const pair = encodePair(tokenizer, { context: '', continuation: 'sea' })
    expect([...pair.context]).toEqual([end])
    const begun = encodePair(tokenizer, { context: '', continuation: `${tokenizer.token(end)!}sea` })
    expect([[...begun.context], [...begun.continuation]]).toEqual([[end], [...pair.continuation]])
  })

  test('windows score each token once, the later ones with all that fits before it', () => {
    const windows = rollingPairs(Int32Array.from([1, 2, 3, 4, 5, 6, 7]), 0, 3)
    expect(windows.map(({ context, continuation }) => [[...context], [...continuation]])).toEqual([
      [[0], [1, 2, 3]],
      [[3], [4, 5, 6]],
      [[4, 5, 6], [7]],
    ])
    expect(rollingPairs(new Int32Array(0), 0, 3)).toEqual([])
  })
})

describe('a model here', () => {
  const requests = [
    'the key',
    'the door and the key and the',
    'and the sea and the key and the door and the sea',
    '',
  ].flatMap((context) =>
    [' and the', ' key', ' key and the sea', ' sea'].map((continuation) => ({ context, continuation })),
  )

  test('scores continuations as its logits say, in the order of the requests', async () => {
    let answers = 0
    const said = await local(3).continuations(requests, { onAnswer: () => answers++ })
    expect(answers).toBe(requests.length)
    for (const [i, request] of requests.entries()) {
      const { context, continuation } = encodePair(tokenizer, request)
      const expected = sum(logprobsOf([...context, ...continuation]).slice(-continuation.length))
      expect(Math.abs(said[i]!.logprob - expected)).toBeLessThan(1e-4)
    }
  })

  test('says the same whatever it is asked beside: the same bits, where the matrix products are Hearth’s own', async () => {
    const all = await local(1).continuations(requests)
    const asked = await Promise.all([2, 5, 64].map((batchSize) => local(batchSize).continuations(requests)))
    const some = await local(64).continuations(requests.slice(5, 9).reverse())
    for (const [i, one] of [...asked, some].entries()) {
      const expected = i < 3 ? all : all.slice(5, 9).reverse()
      if (!byLibrary) expect(one).toEqual(expected)
      expect(one.map(({ greedy }) => greedy)).toEqual(expected.map(({ greedy }) => greedy))
      one.forEach(({ logprob }, n) => expect(Math.abs(logprob - expected[n]!.logprob)).toBeLessThan(1e-4))
    }
  })

  test('with experts gives the same bits too', async () => {
    const shape = {
      hidden_size: 32,
      intermediate_size: 48,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 2,
    }
    const mixed = createModel(
      { model_type: 'mixtral', vocab_size: 290, num_local_experts: 4, max_position_embeddings: 48, ...shape },
      { seed: 3 },
    )
    const [alone, together] = [1, 16].map(
      (batchSize) => new LocalModel({ name: 'mixed', model: mixed, tokenizer, batchSize }),
    )
    expect(await together!.continuations(requests)).toEqual(await alone!.continuations(requests))
  })

  test('knows whether a continuation is what it would say', async () => {
    let greedy = 0
    for (const context of ['the key', 'the door and', 'and the sea', 'the key and the', 'sea', 'the']) {
      const ids = [...tokenizer.encode(context)]
      const row = noGrad(() => logits(model, tensor([ids], { dtype: 'int64' }), { lastOnly: true }).toArray())
      const texts = row.map((_, id) => tokenizer.decode([id]))
      // Those texts whose one token is what follows.
      const sound = texts.flatMap((text, id) =>
        tokenizer.encode(context + text).join() === [...ids, id].join() ? id : [],
      )
      const said = await local(8).continuations(sound.map((id) => ({ context, continuation: texts[id]! })))
      expect(said.map((one) => one.greedy)).toEqual(sound.map((id) => row[id] === Math.max(...row)))
      greedy += said.filter((one) => one.greedy).length
    }
    expect(greedy).toBeGreaterThan(0)
  })

  test('cuts contexts at the left, and whole texts into windows', async () => {
    const long = 'the sea and '.repeat(60)
    const [said] = await local(1).continuations([{ context: long, continuation: 'the door' }])
    const pair = encodePair(tokenizer, { context: long, continuation: 'the door' })
    const kept = [...pair.context, ...pair.continuation].slice(-49)
    expect(Math.abs(said!.logprob - sum(logprobsOf(kept).slice(-pair.continuation.length)))).toBeLessThan(1e-4)
    const [text, short] = await local(4).texts([long, 'the sea'])
    const windows = rollingPairs(tokenizer.encode(long), tokenizer.endOfText!, 48)
    const expected = windows.map(({ context, continuation }) =>
      sum(logprobsOf([...context, ...continuation]).slice(-continuation.length)),
    )
    expect(Math.abs(text! - sum(expected))).toBeLessThan(1e-2)
    expect(Math.abs(short! - sum(logprobsOf([tokenizer.endOfText!, ...tokenizer.encode('the sea')])))).toBeLessThan(
      1e-4,
    )
    await expect(local(1).generate([{ context: 'a', until: [], maxTokens: 48, temperature: 0 }])).rejects.toThrow(
      /48 tokens are to be generated/,
    )
  })
})

describe('an endpoint', () => {
  let server: Server
  let base: string
  let answer: (request: IncomingMessage, body: Record<string, unknown>, response: ServerResponse) => void
  beforeAll(async () => {
    server = createServer((request, response) => {
      let text = ''
      request.on('data', (piece: Buffer) => (text += piece.toString()))
      request.on('end', () =>
        answer(request, text === '' ? {} : (JSON.parse(text) as Record<string, unknown>), response),
      )
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })
  const json = (response: ServerResponse, body: unknown, status = 200) =>
    response.writeHead(status).end(JSON.stringify(body))
  const models = (...names: string[]) => ({ data: names.map((id) => ({ id })) })
  afterEach(() => (answer = (_request, _body, response) => json(response, {}, 404)))

  test('that refuses, has other models, is something else or not there, is refused in words', async () => {
    answer = (_request, _body, response) => json(response, { error: { message: 'who are you' } }, 401)
    await expect(EndpointModel.open(`${base}/v1`, { key: '' })).rejects.toThrow(
      /models answers 401: who are you[^]*OPENAI_API_KEY/,
    )
    answer = (_request, _body, response) => json(response, models('a', 'b'))
    await expect(EndpointModel.open(`${base}/v1`)).rejects.toThrow(/has 2 models: a, b[^]*#a/)
    await expect(EndpointModel.open(`${base}/v1#c`)).rejects.toThrow(/none is c/)
    answer = (_request, _body, response) => response.end('<html>')
    await expect(EndpointModel.open(base)).rejects.toThrow(/answers no JSON: "<html>"/)
    await expect(EndpointModel.open('http://127.0.0.1:1/v1')).rejects.toThrow(
      /127\.0\.0\.1:1\/v1\/models does not answer: /,
    )
  })

  test('is asked as the harness asks, again while it is busy, and scores what the whole has more than the context', async () => {
    const bodies: Record<string, unknown>[] = []
    answer = (request, body, response) => {
      if (request.url === '/v1/models') return void json(response, models('m'))
      bodies.push(body)
      if (bodies.length === 1) return void response.writeHead(429, { 'retry-after': '0.01' }).end('{}')
      // "Ünd" + " so" + " it" + " goes", and one token that was generated.
      const [logs, likely] = [
        [null, -1, -0.5, -0.25],
        [null, { x: -0.1 }, { ' it': -0.5 }, { ' goes': -0.25 }],
      ]
      const count = String(body.prompt).split(' ').length
      const logprobs = {
        token_logprobs: [...logs.slice(0, count), -9],
        top_logprobs: [...likely.slice(0, count), { '!': -9 }],
      }
      json(response, { choices: [{ text: '', logprobs }] })
    }
    const at = await EndpointModel.open(`${base}/v1`, { key: 'k' })
    const said = await at.continuations([
      { context: 'Ünd so', continuation: ' it goes' },
      { context: 'Ünd ', continuation: 'so it goes' },
    ])
    expect(said).toEqual([
      { logprob: -0.75, greedy: true },
      { logprob: -1.75, greedy: false },
    ])
    expect(bodies[1]).toMatchObject({ model: 'm', echo: true, logprobs: 1, max_tokens: 1, temperature: 0 })
    await expect(at.texts(['a'])).rejects.toThrow(/--tokenizer/)
    await expect(at.continuations([{ context: ' ', continuation: 'b' }])).rejects.toThrow(/scores no first token/)
    answer = (_request, _body, response) => json(response, { choices: [{ text: 'x' }] })
    await expect(at.continuations([{ context: 'a', continuation: ' b' }])).rejects.toThrow(/gives no log probabilities/)
  })

  test('for chats only generates; what is beyond four stop strings is cut here', async () => {
    let asked: Record<string, unknown> = {}
    answer = (request, body, response) => {
      if (request.url === '/v1/models') return void json(response, models('m'))
      asked = body
      json(response, { choices: [{ message: { content: 'one two five six' } }] })
    }
    const at = await EndpointModel.open(`${base}/v1/chat/completions#m`)
    const request = { context: 'q', until: ['a', 'b', 'c', 'd', ' five'], maxTokens: 9, temperature: 0 }
    expect(await at.generate([request])).toEqual(['one two'])
    expect(asked).toMatchObject({
      messages: [{ role: 'user', content: 'q' }],
      stop: ['a', 'b', 'c', 'd'],
      max_tokens: 9,
    })
    await expect(at.continuations([{ context: 'a', continuation: 'b' }])).rejects.toThrow(/chat endpoint gives no log/)
  })
})
