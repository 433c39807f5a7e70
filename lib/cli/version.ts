/** The version in package.json. A test compares them, because a build in two formats can't find that file in one way. */
export const VERSION = '0.1.0';
