// A conversation in the terminal: what `hearth chat` runs.
export { changeSettings, type ChatSettings } from './chat-settings.js'
export { chatWith, type ChatLine } from './open-chat.js'
