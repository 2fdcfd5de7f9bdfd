// Models: what is here, and what it is. Those that runs made, and those in the folder of models.
import { bytes, count } from './numbers.js'
import { useServer } from './server.js'
import { Trouble } from './trouble.js'

interface ModelRow {
  name: string
  from: 'run' | 'folder'
  problem?: string
  family?: string
  parameters?: number
  tensors?: number
  layers?: number
  width?: number
  contextLength?: number
  tokenizer: boolean
  bytes: number
}

const HEADS = ['model', 'from', 'family', 'parameters', 'tensors', 'layers × width', 'context', 'tokenizer', 'files']

export function ModelsPage() {
  const { value, error } = useServer<{ runs: string; models: ModelRow[] }>('models', { seconds: 2 })
  if (value === undefined) return <Trouble error={error} waiting="Looking for models …" />
  return (
    <>
      <Trouble error={error} />
      {value.models.length === 0 ? (
        <p className="hint">
          No finished run in <code>{value.runs}</code> and no folder of models yet. <code>npx hearth quickstart</code>{' '}
          makes a first one.
        </p>
      ) : (
        <table>
          <caption>Models on this machine; parameters are counted tensor by tensor</caption>
          <thead>
            <tr>
              {HEADS.map((head) => (
                <th key={head} scope="col">
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {value.models.map((model) => (
              <Row key={`${model.from}/${model.name}`} model={model} />
            ))}
          </tbody>
        </table>
      )}
    </>
  )
}

function Row({ model }: { model: ModelRow }) {
  const { name, from, problem, family, parameters = 0, tensors, layers, width, contextLength = 0, tokenizer } = model
  const facts = [family, parameters.toLocaleString(), tensors, `${layers} × ${width}`, count(contextLength)]
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{from}</td>
      {problem === undefined ? (
        facts.map((fact, index) => <td key={HEADS[index + 2]}>{fact}</td>)
      ) : (
        <td colSpan={facts.length} className="trouble">
          {problem}
        </td>
      )}
      <td>{tokenizer ? 'yes' : 'none'}</td>
      <td>{bytes(model.bytes)}</td>
    </tr>
  )
}
