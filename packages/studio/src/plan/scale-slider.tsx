// A slider over orders of magnitude: every step multiplies. Values are rounded to two digits, or to powers of the base.
import { Label, Slider, SliderOutput, SliderThumb, SliderTrack } from 'react-aria-components'

interface ScaleSliderProps {
  label: string
  value: number
  least: number
  most: number
  /** 2: powers of two alone. */
  base?: 2
  format: (value: number) => string
  onChange: (value: number) => void
}

/** Steps of a decade. */
const FINENESS = 20

export function ScaleSlider({ label, value, least, most, base, format, onChange }: ScaleSliderProps) {
  const steps = base === 2 ? 1 : FINENESS
  const log = base === 2 ? Math.log2 : Math.log10
  const at = (position: number) => (base === 2 ? 2 ** position : Number((10 ** (position / steps)).toPrecision(2)))
  const position = Math.round(log(value) * steps)
  return (
    <Slider
      className="slider"
      value={position}
      minValue={Math.round(log(least) * steps)}
      maxValue={Math.round(log(most) * steps)}
      step={1}
      onChange={(chosen) => onChange(Math.min(most, Math.max(least, at(chosen))))}
    >
      <Label>{label}</Label>
      <SliderOutput>{format(value)}</SliderOutput>
      <SliderTrack className="track">
        <SliderThumb className="thumb" aria-valuetext={format(value)} />
      </SliderTrack>
    </Slider>
  )
}
