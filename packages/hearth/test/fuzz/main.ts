// `npm run fuzz -- PARSER --seed N --seconds S`
import { parseArgs } from 'node:util'
import { parsers } from './parsers.js'
import { fuzzParser } from './run.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string', default: '1' }, seconds: { type: 'string', default: '60' } },
})
const [parser = ''] = positionals
if (!(parser in parsers)) {
  console.error(`There is no parser '${parser}'. There are: ${Object.keys(parsers).join(', ')}`)
  process.exitCode = 2
} else {
  const { executions, faults } = await fuzzParser(parser, Number(values.seed), Number(values.seconds), (fault) =>
    console.log(`seed ${fault.seed}, ${fault.how}:\n  ${fault.output.split('\n').slice(0, 8).join('\n  ')}`),
  )
  console.log(`${parser}: ${executions} executions, ${faults.length} faults`)
  process.exitCode = faults.length > 0 ? 1 : 0
}
