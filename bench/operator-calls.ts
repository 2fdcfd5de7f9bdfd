// Counts the operators that a program calls, by name. Has to be the first import: it puts counters around the native
// module's operators before Hearth loads it. What libtorch's autograd calls by itself is not seen here.
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

type Operator = (...args: unknown[]) => unknown

export const operatorCalls = new Map<string, number>()

const require = createRequire(import.meta.url)
const binary = fileURLToPath(new URL('../packages/torch/build/hearth_torch.node', import.meta.url))
const native = require(binary) as { bindOperator(name: string, overload: string): Operator | undefined }

function bindOperator(name: string, overload: string): Operator | undefined {
  const operator = native.bindOperator(name, overload)
  if (operator === undefined) return undefined
  return (...args) => {
    operatorCalls.set(name, (operatorCalls.get(name) ?? 0) + 1)
    return operator(...args)
  }
}

require.cache[binary]!.exports = { ...native, bindOperator }
