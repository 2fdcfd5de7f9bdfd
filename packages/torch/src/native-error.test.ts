import { describe, expect, test } from 'vitest'
import { TorchError } from './errors.js'
import { makeError } from './native-error.js'

describe('an error of libtorch', () => {
  test.each([
    'aten::ones: CUDA out of memory. Tried to allocate 16384.00 GiB. GPU 0 has a total capacity of 79.11 GiB.',
    'aten::ones: cannot allocate 4.4 TB: the machine has 24.1 GB left',
  ])('about memory keeps its facts and gets a remedy: %s', (message) => {
    const error = makeError('torch', `${message}\n  arguments: self: float32[3]`, 'aten::ones')
    expect(error).toBeInstanceOf(TorchError)
    expect(error.message).toContain(message)
    expect(error.message).toContain('float32[3]')
    expect(error).toMatchObject({ remedy: expect.stringMatching(/work in parts.*memoryStats/) as string })
  })
})
