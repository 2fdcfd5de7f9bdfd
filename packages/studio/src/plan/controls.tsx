// The fields and sliders of a plan.
import { count } from '../numbers.js'
import { ScaleSlider } from './scale-slider.js'
import type { Known, Wanted } from './wanted.js'

interface ControlsProps {
  known: Known
  wanted: Wanted
  set: (change: Partial<Wanted>) => void
}

/** The sliders, in their order. */
const SLIDERS = [
  { name: 'tokens', label: 'Tokens', least: 1e6, most: 2e13, format: count },
  { name: 'devices', label: 'Devices', least: 1, most: 4096, base: 2, format: count },
  { name: 'budget', label: 'Money', least: 10, most: 1e7, format: count },
  { name: 'days', label: 'Days', least: 1, most: 365, format: (days: number) => String(Math.round(days)) },
] as const

export function Controls(props: ControlsProps) {
  const { wanted, set } = props
  return (
    <section className="controls" aria-label="What you want and have">
      <Fields {...props} />
      {SLIDERS.map(({ name, ...slider }) => (
        <ScaleSlider key={name} {...slider} value={wanted[name]} onChange={(value) => set({ [name]: value })} />
      ))}
    </section>
  )
}

function Fields({ known, wanted, set }: ControlsProps) {
  const price = known.hardware[wanted.hardware]?.price
  return (
    <>
      <ModelField known={known} wanted={wanted} set={set} />
      <label>
        Method
        <select value={wanted.method} onChange={(event) => set({ method: event.target.value as Wanted['method'] })}>
          <option value="full">all weights</option>
          <option value="lora">LoRA</option>
          <option value="qlora">QLoRA</option>
        </select>
      </label>
      <label>
        Hardware
        <select value={wanted.hardware} onChange={(event) => set({ hardware: event.target.value })}>
          {Object.entries(known.hardware).map(([name, { memory }]) => (
            <option key={name} value={name}>{`${name}, ${memory.toFixed(0)} GiB`}</option>
          ))}
        </select>
      </label>
      <label>
        Price of a device and hour
        <input
          inputMode="decimal"
          value={wanted.price}
          placeholder={price === undefined ? 'not known' : String(price)}
          onChange={(event) => set({ price: event.target.value })}
        />
      </label>
    </>
  )
}

function ModelField({ known, wanted, set }: ControlsProps) {
  return (
    <label>
      Model: a preset, or LAYERSxWIDTH
      <input
        list="models"
        value={wanted.model}
        onChange={(event) => set({ model: event.target.value.trim() })}
        spellCheck={false}
      />
      <datalist id="models">
        {known.models.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </label>
  )
}
