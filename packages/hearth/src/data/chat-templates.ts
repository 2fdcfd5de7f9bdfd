// Chat templates by name, in Jinja: the formats that open models were tuned with, in our own words. A template of a
// tokenizer comes before these; `plain` needs no tokens of its own, so that any base model can learn it.

const each = (body: string) => `{% for message in messages %}${body}{% endfor %}`
const prompt = (text: string) => `{% if add_generation_prompt %}${text}{% endif %}`

/** Llama 2 and Mistral put the system's words into the first turn of the user. */
const instructions = (open: string, close: string) =>
  "{{ bos_token }}{% set ns = namespace(system='') %}" +
  each(
    "{% if message['role'] == 'system' %}{% set ns.system = message['content'] %}" +
      "{% elif message['role'] == 'user' %}{{ '[INST] ' }}{% if ns.system %}" +
      `{{ '${open}' + ns.system + '${close}' }}{% set ns.system = '' %}{% endif %}{{ message['content'] + ' [/INST]' }}` +
      "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}",
  )

export const CHAT_TEMPLATES: Readonly<Record<string, string>> = {
  /** `User: …` and `Assistant: …`, which ends with the end-of-text token. */
  plain:
    each(
      "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n' }}" +
        "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}" +
        "{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}",
    ) + prompt("{{ 'Assistant:' }}"),
  chatml:
    each("{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}") +
    prompt("{{ '<|im_start|>assistant\\n' }}"),
  llama2: instructions('<<SYS>>\\n', '\\n<</SYS>>\\n\\n'),
  mistral: instructions('', '\\n\\n'),
  llama3:
    '{{ bos_token }}' +
    each(
      "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] + '<|eot_id|>' }}",
    ) +
    prompt("{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"),
  zephyr:
    each("{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}") +
    prompt("{{ '<|assistant|>\\n' }}"),
  vicuna:
    each(
      "{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}" +
        "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}" +
        "{% else %}{{ message['content'] + ' ' }}{% endif %}",
    ) + prompt("{{ 'ASSISTANT:' }}"),
  alpaca:
    each(
      "{% if message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}" +
        "{% elif message['role'] == 'assistant' %}{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}" +
        "{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}",
    ) + prompt("{{ '### Response:\\n' }}"),
}
