/** The assistant of a shop: what it knows of a conversation, and what it says next. A real one would ask a model here. */

/** All that the assistant knows. It is small, plain JSON, and it is what is saved as a checkpoint. */
export interface Conversation {
  readonly order: string | undefined
  readonly wish: 'refund' | 'exchange' | undefined
  readonly lines: readonly string[]
}

/** Nobody has said anything. */
export const NEW: Conversation = { order: undefined, wish: undefined, lines: [] }

/** Hears what the customer says, and answers. */
export function reply(before: Conversation, said: string): Conversation {
  const order = before.order ?? /\b[A-Z]-\d+\b/.exec(said)?.[0]
  const wish = before.wish ?? (/\b(refund|exchange)\b/.exec(said)?.[0] as Conversation['wish'])
  const answer = /thank/.test(said) ? 'You are welcome. Goodbye!' : next(order, wish)
  return { order, wish, lines: [...before.lines, `customer: ${said}`, `assistant: ${answer}`] }
}

function next(order: string | undefined, wish: Conversation['wish']): string {
  if (!order) return 'I am sorry to hear that. What is the number of your order?'
  if (!wish) return `Thank you, I have found order ${order}. Would you like a refund, or an exchange?`
  return `Done: the ${wish} for order ${order} is on its way. Is there anything else?`
}
