/** The module of the README's isolated step. */
/** @param {{ text: string }} args */
export default async ({ text }) => text.length
