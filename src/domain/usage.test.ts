import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { estimateTokens } from './usage.ts'

// Each text with what tokenizers make of it: cl100k_base (GPT-4) and o200k_base (GPT-4o and later).
const counted: [what: string, text: string, cl100k: number, o200k: number][] = [
  [
    'English',
    'The thread is a conversation between an assistant and a user. Threads store messages and automatically handle truncation to fit content into a model.',
    27,
    27,
  ],
  ['German', 'Künstliche Intelligenz ist ein Teilgebiet der Informatik. Größe, Übung, Straße.', 26, 21],
  [
    'Chinese',
    '人工智能是计算机科学的一个分支，它企图了解智能的实质，并生产出一种新的能以人类智能相似的方式做出反应的智能机器，该领域的研究包括机器人、语言识别、图像识别、自然语言处理和专家系统等。',
    102,
    63,
  ],
  [
    'Japanese',
    '人工知能とは、「計算」という概念と「コンピュータ」という道具を用いて「知能」を研究する計算機科学の一分野を指す語。言語の理解や推論、問題解決などの知的行動を人間に代わってコンピューターに行わせる技術。',
    108,
    76,
  ],
  [
    'Korean',
    '인공지능은 인간의 학습능력, 추론능력, 지각능력을 인공적으로 구현하려는 컴퓨터 과학의 세부분야 중 하나이다. 정보공학 분야에 있어 하나의 인프라 기술이기도 하다.',
    86,
    55,
  ],
  [
    'Hindi',
    'कृत्रिम बुद्धिमत्ता कंप्यूटर विज्ञान की एक शाखा है जो मशीनों और सॉफ्टवेयर को बुद्धि के साथ विकसित करता है।',
    107,
    32,
  ],
  [
    'Russian',
    'Искусственный интеллект — свойство искусственных интеллектуальных систем выполнять творческие функции, которые традиционно считаются прерогативой человека.',
    73,
    30,
  ],
  ['JSON', '{"name":"threadmill","version":"0.1.0","private":true,"engines":{"node":">=22.19"}}', 29, 29],
  ['digits', '0,7919,15838,23757,31676,39595,47514,55433,63352,71271', 28, 28],
]

describe('the estimate of tokens', () => {
  for (const [what, text, cl100k, o200k] of counted) {
    test(`${what} is not taken for less than tokenizers make of it, nor for four times as much`, () => {
      const estimate = estimateTokens(text)
      const said = `${estimate} where tokenizers count ${cl100k} and ${o200k}`
      // A quarter of the window is left free, so that a few tokens less do no harm.
      assert.ok(estimate >= cl100k * 0.9, said)
      assert.ok(estimate <= o200k * 4.1, said)
    })
  }

  test('counts nothing for nothing, and emoji by their halves', () => {
    assert.equal(estimateTokens(''), 0)
    assert.equal(estimateTokens('word'), 1)
    assert.equal(estimateTokens('\u{1F600}'), 2)
    assert.equal(estimateTokens('\u{1F600}'.repeat(10)), 16)
  })
})
