/** Branches of a store: each restore begins one. */

/** The branch of a store that was made before there were any. */
export const NO_BRANCH = '0000000000000000'
