import { expect, test } from 'vitest'
import { CHAT_TEMPLATES } from './chat-templates.js'
import { unknownNames } from './template-names.js'

test.each<[string, string[]]>([
  ['{{ mesages[0].content }}{{ bos_tokn }}', ['mesages', 'bos_tokn']],
  ['{% for m in messages %}{{ m.role + n.content | trim }}{% endfor %}', ['n']],
  ['{% set x = messages[0] %}{{ x["content"] }}{{ loop.first }}{{ raise_exception("no") }}', []],
  ['{% if enable_thinking is defined and enable_thinking %}{{ enable_thinking }}{% endif %}', []],
  ['{{ date | default("today") }}{{ (style or "plain") }}{{ a if b else eos_token }}', ['a']],
  ['{% macro say(what, how="x") %}{{ what ~ how }}{% endmacro %}{{ say(messages, how=wrong) }}', ['wrong']],
  ["{% set ns = namespace(last=0) %}{% set ns.last = 1 %}{{ ns.last }}{{ {'key': other}['key'] }}", ['other']],
])('%s refers to %j, which nobody gives it', (source, unknown) => {
  expect(unknownNames(source)).toEqual(unknown)
})

test.each(Object.entries(CHAT_TEMPLATES))('the template %s refers to what is there alone', (_, source) => {
  expect(unknownNames(source)).toEqual([])
})
