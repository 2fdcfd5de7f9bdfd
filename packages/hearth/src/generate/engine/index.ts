// The engine: many requests for tokens from one model at once. What it is asked and answers is types.ts.
export { Engine } from './engine.js'
export * from './types.js'
