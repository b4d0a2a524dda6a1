/* Compiled by the build requirement, not by the package's own code. */
#include <Python.h>

static struct PyModuleDef stacks = {PyModuleDef_HEAD_INIT, "stacks", NULL, -1, NULL};

PyMODINIT_FUNC PyInit_stacks(void)
{
    return PyModule_Create(&stacks);
}
