// A small tokenizer of SentencePiece's kind, as Hugging Face's files have LLaMA's.
import { Tokenizer } from '../../src/data/index.js'

/** A vocabulary of SentencePiece's kind: three special tokens, all bytes, and what its merges make. */
export function sentencePiece(): Tokenizer {
  const words = [
    '▁s',
    '▁f',
    'ar',
    'al',
    '▁sa',
    'il',
    '▁sail',
    'ed',
    '▁sailed',
    '▁far',
    '▁far▁',
    'sh',
    'ma',
    'el',
    'Is',
    'me',
  ]
  const merges = [
    '▁ s',
    '▁ f',
    'a r',
    'a l',
    '▁s a',
    'i l',
    '▁sa il',
    'e d',
    '▁sail ed',
    '▁f ar',
    's h',
    'm a',
    'e l',
    'I s',
    'm e',
  ]
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const characters = ['▁', ...new Set('safrlietdhmIC .,;kx')].filter((one) => one !== ' ')
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...characters, ...words.filter((word) => word !== '▁far▁')]
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: '▁' }
  const special = (id: number) => ({
    id,
    content: tokens[id],
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })
  return Tokenizer.fromJson(
    {
      version: '1.0',
      added_tokens: [0, 1, 2].map(special),
      normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace] },
      pre_tokenizer: null,
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
        pair: [],
        special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
      },
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
      model: {
        type: 'BPE',
        unk_token: '<unk>',
        fuse_unk: true,
        byte_fallback: true,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges,
      },
    },
    { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' },
  )
}
