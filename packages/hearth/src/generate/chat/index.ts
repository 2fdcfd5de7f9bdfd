// A conversation with a model, for programs and for the terminal.
export * from './chat.js'
export { turnEnds, type TurnEnds } from './turn-ends.js'
