// Connect to WebSocket
const businessId = 1;
const sessionId = 'session-123';
const socket = new WebSocket(`ws://localhost:8000/ws/chat/${businessId}/${sessionId}/`);

// Connection event handlers
socket.onopen = function(event) {
    console.log('WebSocket connected');
};

socket.onmessage = function(event) {
    const data = JSON.parse(event.data);
    console.log('Message received:', data);
    
    // Handle different message types
    switch(data.sender) {
        case 'assistant':
            displayAssistantMessage(data.message);
            break;
        case 'user':
            displayUserMessage(data.message);
            break;
        case 'system':
            displaySystemMessage(data.message);
            break;
    }
};

socket.onclose = function(event) {
    console.log('WebSocket disconnected');
};

socket.onerror = function(error) {
    console.error('WebSocket error:', error);
};

// Send a message
function sendMessage(message) {
    socket.send(JSON.stringify({
        message: message,
        type: 'user'
    }));
}

// Send system message
function sendSystemMessage(message) {
    socket.send(JSON.stringify({
        message: message,
        type: 'system'
    }));
}
