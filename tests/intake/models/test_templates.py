"""Chat templates: those that talk pass, those that reach out are named."""

import json

import pytest

from bezoar.intake.models.templates import problems, templates_in
from bezoar.intake.models.verdicts import Hostile, Unknown
from bezoar.testing.hostile.models.formats import TEMPLATES

TALK = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
              "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "headers": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
               "'<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
               "{% endif %}{{ content }}{% endfor %}",
    "instructions": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
                    "{{ raise_exception('roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
                    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}",
    "tools": "{%- if tools is defined and tools is not none %}{{- tools | tojson(indent=4) }}{%- endif %}{%- set ns = namespace(found=false) %}"
             "{%- for m in messages if m.role != 'system' %}{%- if m.tool_calls is defined %}{%- for c in m.tool_calls %}{{ c.function.name }}"
             "{%- for k, v in c.function.arguments.items() %}{{ k ~ '=' ~ v|string }}{%- endfor %}{%- endfor %}{%- set ns.found = true %}{%- endif %}"
             "{%- endfor %}",
    "dates": "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}{{ 'Environment: ipython' }}"
             "{{ builtin_tools | reject('equalto', 'code_interpreter') | list | join(', ') }}",
    "macros": "{%- macro show(items, sep) -%}{%- for i in items -%}{{ i|upper }}{{ sep if not loop.last }}{%- endfor -%}{%- endmacro -%}"
              "{{ show(messages|map(attribute='role'), ', ') }}{% do messages.append({'role': 'x'}) %}",
    "generation": "{% for m in messages %}{% generation %}{{ m['content'].strip().split('</think>')[-1].lstrip('\\n') }}{% endgeneration %}"
                  "{% if loop.first %}{% continue %}{% endif %}{% endfor %}",
    "context": "{% if context %}{{ context }}{% endif %}{{ config['x'] }}{{ '{}'.format(messages|length) }}{{ message.system }}{{ '<｜user｜>' }}",
}


@pytest.mark.parametrize("name", sorted(TALK))
def test_templates_that_talk_pass(name):
    assert problems(TALK[name]) == []


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_templates_that_reach_out_are_named(name):
    for source in (TEMPLATES[name], TALK["chatml"] + TEMPLATES[name]):
        found = problems(source)
        assert found and all("chat template" in line for line in found)


def test_settings_are_searched_wherever_templates_stand():
    raw = json.dumps({"a": [{"chat_template": [{"name": "x", "template": TALK["chatml"]}]}], "b": "no template"}).encode()
    assert templates_in(raw, ".json") == [TALK["chatml"]]
    assert templates_in("\ufeff{{ x }}".encode()) == ["{{ x }}"]
    for settings in ({"auto_map": {"AutoModel": "x.Y"}}, {"deep": [{"trust_remote_code": True}]}):
        with pytest.raises(Hostile):
            templates_in(json.dumps(settings).encode(), ".json")
    with pytest.raises(Unknown):
        templates_in(b"{", ".json")
    assert templates_in(b'{"auto_map": null, "trust_remote_code": false}', ".json") == []
