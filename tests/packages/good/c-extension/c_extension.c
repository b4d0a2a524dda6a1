#include <Python.h>

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "c_extension", NULL, -1, NULL};

PyMODINIT_FUNC PyInit_c_extension(void) { return PyModule_Create(&module); }
