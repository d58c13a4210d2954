import { defineUnion } from '../union.ts'
import { OpenAIMessageCreationStep } from './open-ai-message-creation-step.ts'
import { OpenAIToolCallsStep } from './open-ai-tool-calls-step.ts'

/** What a step did: its `type` says which of the two forms it has. */
export const StepDefaults = defineUnion<StepDefaults>('StepDefaults', [
  OpenAIToolCallsStep,
  OpenAIMessageCreationStep,
])
export type StepDefaults = OpenAIToolCallsStep | OpenAIMessageCreationStep
