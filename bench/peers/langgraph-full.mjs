/** LangGraph's functional API on SQLite with `synchronous=FULL`: each acknowledged step survives a power cut. */
export { openFull as open } from './langgraph.mjs'
