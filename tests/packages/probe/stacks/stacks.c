/* Compiled by the build requirement, and by the package's own code, which runs what is here. */
#include <Python.h>

/* Runs a function in the interpreter that was there first, while there is another one. */
static PyObject *in_the_older(PyObject *self, PyObject *function)
{
    PyThreadState *older = PyThreadState_Get();
    PyThreadState *newer = Py_NewInterpreter();
    PyRun_SimpleString("open('/tmp/newer', 'w').close()");
    PyThreadState_Swap(older);
    PyObject *result = PyObject_CallNoArgs(function);
    PyThreadState_Swap(newer);
    PyRun_SimpleString("\n\nopen('/tmp/newer.again', 'w').close()");
    Py_EndInterpreter(newer);
    PyThreadState_Swap(older);
    return result;
}

/* The same by a state of the thread that is given up after it. */
static PyObject *in_a_state(PyObject *self, PyObject *number)
{
    PyThreadState *before = PyThreadState_Get();
    PyThreadState *state = PyThreadState_New(PyThreadState_GetInterpreter(before));
    PyThreadState_Swap(state);
    char source[64];
    snprintf(source, sizeof source, "open('/tmp/state.%ld', 'w').close()", PyLong_AsLong(number));
    PyRun_SimpleString(source);
    PyThreadState_Clear(state);
    PyThreadState_Swap(before);
    PyThreadState_Delete(state);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"in_the_older", in_the_older, METH_O, ""},
    {"in_a_state", in_a_state, METH_O, ""},
    {0},
};
static struct PyModuleDef stacks = {PyModuleDef_HEAD_INIT, "stacks", NULL, -1, methods};

PyMODINIT_FUNC PyInit_stacks(void)
{
    return PyModule_Create(&stacks);
}
