/** As in package.json; a test compares them. A build in two formats has no one way to find that file. */
export const VERSION = '0.1.0';
