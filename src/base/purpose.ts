/** Purpose of an opening: `serve` to run the tasks of the store, `operate` for one command of an operator. */
export type Purpose = 'serve' | 'operate'
